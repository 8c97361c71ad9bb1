/** Pictures of a head: learning curves, classes, reliability. */

import { SegmentedControl, Text } from "@mantine/core";
import { useState } from "react";

import type { Epoch, Evaluation } from "../api/shapes";
import { Bars } from "../charts/Bars";
import { LineChart, type Line } from "../charts/LineChart";
import { digits, percent } from "../words/numbers";

const TRAIN = "#b3730a";
const VALIDATION = "var(--page-accent)";

/** Of fewer images the share that is right says nothing. */
const ENOUGH = 5;

export function Curves({ curves }: { curves: Epoch[] }) {
  const [shown, setShown] = useState("accuracy");
  const of = (name: keyof Epoch): [number, number][] =>
    curves.flatMap((epoch) => (epoch[name] === undefined ? [] : [[epoch.epoch, epoch[name]]]));
  const lines: Line[] = [
    { name: "train", colour: TRAIN, points: of(`train_${shown}` as keyof Epoch), dashed: true },
    { name: "validation", colour: VALIDATION, points: of(`validation_${shown}` as keyof Epoch) },
  ];
  return (
    <>
      <SegmentedControl
        size="xs"
        mb="xs"
        aria-label="What of it"
        data={["accuracy", "loss"]}
        value={shown}
        onChange={setShown}
      />
      <LineChart
        label={`Learning curves: ${shown}`}
        lines={lines.filter((line) => line.points.length)}
        xName="epoch"
        yName={shown}
        word={shown === "accuracy" ? (value) => percent(value, 0) : digits}
      />
    </>
  );
}

export function ClassScores({ evaluation }: { evaluation: Evaluation }) {
  const [order, setOrder] = useState("worst first");
  const classes = [...evaluation.per_class];
  if (order === "worst first") classes.sort((a, b) => a.f1 - b.f1);
  return (
    <>
      <SegmentedControl
        size="xs"
        mb="xs"
        aria-label="Order"
        data={["worst first", "class order"]}
        value={order}
        onChange={setOrder}
      />
      <Bars
        label="F1 of each class"
        most={1}
        bars={classes.map((one) => ({
          name: one.class,
          value: one.f1,
          told: one.f1.toFixed(3),
          hint: `${one.class}: precision ${percent(one.precision)}, recall ${percent(one.recall)}, ${one.rows} rows`,
        }))}
      />
    </>
  );
}

export function Reliability({ evaluation }: { evaluation: Evaluation }) {
  const lines: Line[] = [
    {
      name: "perfect",
      colour: "var(--mantine-color-dimmed)",
      points: [
        [0, 0],
        [1, 1],
      ],
      dashed: true,
    },
    {
      name: "this head",
      colour: VALIDATION,
      points: evaluation.reliability
        .filter((bin) => bin.rows >= ENOUGH)
        .map((bin) => [bin.confidence, bin.accuracy]),
    },
  ];
  const sure = evaluation.reliability.reduce(
    (sum, bin) => sum + bin.rows * (bin.confidence - bin.accuracy),
    0,
  );
  return (
    <>
      <LineChart
        label="Reliability: accuracy by confidence"
        lines={lines}
        xRange={[0, 1]}
        yRange={[0, 1]}
        xName="confidence"
        yName="accuracy"
        word={(value) => percent(value, 0)}
        xWord={(value) => percent(value, 0)}
      />
      <Text size="xs" c="dimmed" mt="xs">
        Its confidence is {percent(evaluation.calibration_error)} off on average; it is{" "}
        {sure > 0 ? "surer than it should be" : "less sure than it could be"}.
      </Text>
    </>
  );
}
