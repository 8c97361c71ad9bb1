/** All that is known of one head, one panel below the other. */

import { Stack, Text } from "@mantine/core";

import type { Head } from "../api/shapes";
import { Panel } from "../parts/Panel";
import { Tiles } from "../parts/Tiles";
import { count, digits, duration, percent } from "../words/numbers";
import { ClassScores, Curves, Reliability } from "./Charts";
import { Confusion } from "./Confusion";
import { Mistakes } from "./Mistakes";

export function HeadDetails({ head, narrow = false }: { head: Head; narrow?: boolean }) {
  const { curves, evaluation } = head.metrics;
  return (
    <Stack gap="md">
      <Scores head={head} />
      <div className={narrow ? "stack" : "columns"}>
        {evaluation?.confusion && (
          <Panel title="Confusion matrix">
            <Confusion
              confusion={evaluation.confusion}
              classes={evaluation.per_class.map((one) => one.class)}
            />
          </Panel>
        )}
        {evaluation && (
          <>
            <Panel title="Classes: F1">
              <ClassScores evaluation={evaluation} />
            </Panel>
            <Panel title="Reliability">
              <Reliability evaluation={evaluation} />
            </Panel>
          </>
        )}
        {curves && (
          <Panel title="Learning curves">
            <Curves curves={curves} />
          </Panel>
        )}
      </div>
      {evaluation && (
        <Panel title="Surest mistakes">
          <Mistakes packId={head.pack_id} mistakes={evaluation.most_wrong} />
        </Panel>
      )}
      {!evaluation && (
        <Text size="sm" c="dimmed">
          It was trained without validation, so there are no scores to show.
        </Text>
      )}
    </Stack>
  );
}

function Scores({ head }: { head: Head }) {
  const { evaluation, trust, ...metrics } = head.metrics;
  const [low, high] = metrics.validation_interval ?? [];
  return (
    <Tiles
      label="Scores"
      tiles={[
        {
          name: "Validation accuracy",
          wide: true,
          value: percent(metrics.validation_accuracy),
          beside:
            low === undefined || high === undefined
              ? ""
              : `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`,
          explained: "The range is the 95 % interval: it holds the true accuracy 95 times of 100",
        },
        { name: "Macro F1", value: digits(evaluation?.macro_f1) },
        { name: "Train accuracy", value: percent(metrics.train_accuracy) },
        { name: "Loss", value: digits(metrics.validation_loss) },
        { name: "Learned from", value: count(metrics.train_rows), beside: "rows" },
        { name: "Took", value: duration(metrics.seconds) },
        {
          name: "Near duplicates",
          value: count(trust?.near_duplicates),
          explained: "Images of validation that nearly stand in train, too",
        },
      ]}
    />
  );
}
