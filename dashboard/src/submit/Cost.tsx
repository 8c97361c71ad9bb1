/** What a submission would cost, before it is made. */

import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { estimateQuery } from "../api/calls";
import type { Estimate, JobRequest } from "../api/shapes";
import { Tiles } from "../parts/Tiles";
import { Trouble } from "../parts/Trouble";
import { bytes, count, digits, duration, shape } from "../words/numbers";

export function Cost({ request }: { request: JobRequest | null }) {
  const estimate = useQuery(estimateQuery(request));
  const found = request ? estimate.data?.items[0] : undefined;
  if (request && estimate.isError)
    return <Trouble error={estimate.error} again={estimate.refetch} />;
  return (
    <div aria-live="polite">
      <Tiles
        label="Estimate"
        tiles={[
          {
            name: "Already there",
            value: count(found?.rows_cached),
            beside: found && `of ${count(found.rows)}`,
          },
          { name: "To compute", value: count(found?.rows_to_compute) },
          { name: "Takes about", value: found?.cached ? "nothing" : duration(found?.seconds) },
          { name: "On disk", value: bytes(found?.bytes) },
        ]}
      />
      <Text size="sm" mt="sm" mih={44}>
        {found ? <InWords estimate={found} /> : "Choose a network and a dataset."}
      </Text>
    </div>
  );
}

function InWords({ estimate }: { estimate: Estimate }) {
  if (estimate.cached)
    return (
      <>
        It is there:{" "}
        <Link to="/packs/$packId" params={{ packId: estimate.pack_id }} className="link">
          {estimate.pack_id}
        </Link>
      </>
    );
  const row = estimate.row_shape ? `A row has ${shape(estimate.row_shape)} values. ` : "";
  if (estimate.rows_to_compute === 0)
    return <>{row}All rows are in other packs and are only copied.</>;
  if (estimate.images_per_second === null)
    return <>{row}How long it takes is known after this network has run here once.</>;
  return (
    <>
      {row}Measured last: {digits(estimate.images_per_second)} images/s on {estimate.measured_on}.
    </>
  );
}
