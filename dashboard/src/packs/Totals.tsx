import { useQuery } from "@tanstack/react-query";

import { overviewQuery } from "../api/calls";
import { Tiles } from "../parts/Tiles";
import { bytes, count, duration, percent, short } from "../words/numbers";

/** What the cache holds and what it saved. */
export function Totals() {
  const { data } = useQuery(overviewQuery);
  const saved = data?.seconds_saved;
  return (
    <Tiles
      label="Totals"
      tiles={[
        {
          name: "Packs",
          value: count(data?.packs),
          beside: data?.damaged_packs ? `${data.damaged_packs} damaged` : "",
        },
        {
          name: "On disk",
          value: bytes(data?.bytes),
          beside: data?.byte_limit ? `of ${bytes(data.byte_limit)}` : "",
        },
        { name: "Rows", value: data && data.rows >= 1e6 ? short(data.rows) : count(data?.rows) },
        { name: "Hit rate", value: percent(data?.hit_rate, 0), explained: data?.counted.hit_rate },
        {
          name: "Computing saved",
          value: duration(saved?.total),
          explained: data && `${data.counted.hits} ${data.counted.row_reuse}`,
        },
        {
          name: "Running now",
          value: count(data?.jobs.running),
          beside: data?.jobs.queued ? `+ ${data.jobs.queued} queued` : "",
        },
        { name: "Workers", value: count(data?.workers.length) },
      ]}
    />
  );
}
