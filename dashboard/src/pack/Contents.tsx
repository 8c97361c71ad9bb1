/** What is in a pack: images of each class, and what its values are like. */

import { Loader, SegmentedControl, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { statisticsQuery } from "../api/calls";
import type { Pack, Statistics } from "../api/shapes";
import { Bars } from "../charts/Bars";
import { classColour } from "../charts/colours";
import { Histogram } from "../charts/Histogram";
import { errorInWords } from "../jobs/words";
import { Facts } from "../parts/Facts";
import { Panel } from "../parts/Panel";
import { Trouble } from "../parts/Trouble";
import { count, digits, percent } from "../words/numbers";

export function Contents({ pack }: { pack: Pack }) {
  const { data, error, refetch } = useQuery(statisticsQuery(pack.pack_id));
  if (error && !data) return <Trouble error={error} again={refetch} />;
  const found = data?.object === "statistics" ? data : null;
  const failed = data?.object === "job" && data.state === "failed" ? data.error : null;
  return (
    <div className="columns">
      <Panel title="Images of each class">
        <div style={{ minHeight: 260 }}>
          {found ? <Classes statistics={found} /> : <Counting failed={failed} />}
        </div>
      </Panel>
      <Panel title="Its values">
        <div style={{ minHeight: 260 }}>
          {found ? <Values statistics={found} /> : <Counting failed={failed} />}
        </div>
      </Panel>
    </div>
  );
}

function Counting({ failed }: { failed: Record<string, unknown> | null | undefined }) {
  if (failed) return <Text size="sm">It could not be counted: {errorInWords(failed)?.detail}</Text>;
  return (
    <Text size="sm" c="dimmed" component="div">
      <Loader size="xs" mr={8} /> Waits for a worker to count; it is kept after that.
    </Text>
  );
}

function Classes({ statistics }: { statistics: Statistics }) {
  const names = Object.keys(statistics.splits);
  const [split, setSplit] = useState(names[0] ?? "");
  const shown = statistics.splits[split];
  if (!shown) return <Text size="sm">It has no splits.</Text>;
  const bars = shown.classes.map((value, index) => ({
    name: statistics.classes[index] ?? String(index),
    value,
    told: count(value),
    colour: classColour(index),
  }));
  return (
    <>
      {names.length > 1 && (
        <SegmentedControl
          size="xs"
          mb="xs"
          data={names}
          value={split}
          onChange={setSplit}
          aria-label="Split"
        />
      )}
      <Bars label={`Images of each class of ${split}`} bars={bars} />
      {(shown.unlabelled > 0 || shown.invalid > 0) && (
        <Text size="xs" c="dimmed" mt="xs">
          {count(shown.unlabelled)} unlabelled, {count(shown.invalid)} undecodable
        </Text>
      )}
    </>
  );
}

function Values({ statistics }: { statistics: Statistics }) {
  const { values, norms } = statistics;
  if (!values || !norms) return <Text size="sm">No image of it could be decoded.</Text>;
  return (
    <>
      <Facts
        facts={[
          ["Zeros", percent(values.zeros)],
          ["Range", `${digits(values.minimum)} to ${digits(values.maximum)}`],
          ["Mean", digits(values.mean)],
          [
            "A row's norm",
            `${digits(norms.mean)} on average, ${digits(norms.minimum)} to ${digits(norms.maximum)}`,
          ],
        ]}
      />
      <Text size="xs" c="dimmed" mt="md">
        Norms of its {count(statistics.rows_valid)} rows
      </Text>
      <Histogram label="Norms of its rows" edges={norms.edges} counts={norms.counts} />
    </>
  );
}
