/** The confusion matrix: drawn on a canvas, so that 256 classes are no trouble. */

import { Group, Slider, Text, useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef, useState, type MouseEvent } from "react";

import { count, percent } from "../words/numbers";
import { mostConfused } from "./grid";

interface Props {
  confusion: number[][];
  classes: string[];
}

const SMALLEST = 260;
const LARGEST_CELL = 64;

/** Smaller cells than this have no room for a name. */
const NAMED_CELL = 15;

export function Confusion({ confusion, classes }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const fitting = Math.max(2, Math.min(44, Math.floor(380 / confusion.length)));
  const [side, setSide] = useState(fitting);
  const [hover, setHover] = useState<[label: number, predicted: number] | null>(null);
  const scheme = useComputedColorScheme("light");
  useEffect(() => draw(canvas.current, confusion, side), [confusion, side, scheme]);
  const move = ({ nativeEvent }: MouseEvent) => {
    const predicted = Math.floor(nativeEvent.offsetX / side);
    const label = Math.floor(nativeEvent.offsetY / side);
    setHover(confusion[label]?.[predicted] === undefined ? null : [label, predicted]);
  };
  const pixels = side * confusion.length;
  return (
    <>
      <Text size="sm" mih={22} aria-live="off">
        {hover
          ? cellInWords(confusion, classes, hover)
          : "Rows: what it is. Columns: what the head says."}
      </Text>
      <div
        style={{ overflow: "auto", maxHeight: 520, minHeight: SMALLEST }}
        tabIndex={0}
        role="group"
        aria-label="Confusion matrix, to scroll"
      >
        <div className="confusion">
          {side >= NAMED_CELL && <Names classes={classes} side={side} across />}
          {side >= NAMED_CELL && <Names classes={classes} side={side} />}
          <canvas
            ref={canvas}
            role="img"
            aria-label={`Confusion matrix of ${classes.length} classes. ${confusedInWords(confusion, classes)}`}
            style={{ width: pixels, height: pixels, display: "block" }}
            onMouseMove={move}
            onMouseLeave={() => setHover(null)}
          />
        </div>
      </div>
      <Group mt="xs" gap="sm">
        <Text size="xs" c="dimmed">
          Size
        </Text>
        <Slider
          w={160}
          size="sm"
          min={2}
          max={LARGEST_CELL}
          value={side}
          onChange={setSide}
          label={null}
          thumbLabel="Size of the matrix"
        />
      </Group>
      <Text size="xs" c="dimmed" mt="xs">
        {confusedInWords(confusion, classes)}
      </Text>
    </>
  );
}

interface NamesProps {
  classes: string[];
  side: number;
  across?: boolean;
}

/** Above the columns, or before the rows. */
function Names({ classes, side, across = false }: NamesProps) {
  return (
    <ol className="confusion-names" data-across={across || undefined} aria-hidden="true">
      {classes.map((name) => (
        <li key={name} title={name} style={across ? { width: side } : { lineHeight: `${side}px` }}>
          {name}
        </li>
      ))}
    </ol>
  );
}

function confusedInWords(confusion: number[][], classes: string[]): string {
  const worst = mostConfused(confusion, 4).map(
    ({ label, predicted, times }) => `${classes[label]} as ${classes[predicted]} (${count(times)})`,
  );
  return worst.length ? `Most often mistaken: ${worst.join(", ")}.` : "Nothing is mistaken.";
}

function cellInWords(
  confusion: number[][],
  classes: string[],
  [label, predicted]: [number, number],
): string {
  const row = confusion[label]!;
  const all = row.reduce((sum, times) => sum + times, 0);
  const times = row[predicted]!;
  const share = all ? percent(times / all) : "–";
  if (label === predicted)
    return `${classes[label]}: ${count(times)} of ${count(all)} right (${share})`;
  return `${classes[label]} taken for ${classes[predicted]}: ${count(times)} of ${count(all)} (${share})`;
}

/** Each row shaded by its shares; what is right in the accent, what is wrong in red. */
function draw(canvas: HTMLCanvasElement | null, confusion: number[][], side: number): void {
  const brush = canvas?.getContext("2d");
  if (!canvas || !brush) return;
  const style = getComputedStyle(canvas);
  const [good, bad, line] = ["--page-accent", "--page-bad", "--page-line"].map((name) =>
    style.getPropertyValue(name),
  );
  const density = window.devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * confusion.length * density);
  brush.scale(density, density);
  const gap = side > 6 ? 1 : 0;
  confusion.forEach((row, label) => {
    const all = Math.max(
      1,
      row.reduce((sum, times) => sum + times, 0),
    );
    row.forEach((times, predicted) => {
      brush.globalAlpha = times ? 0.12 + 0.5 * Math.sqrt(times / all) : 0.35;
      brush.fillStyle = (times ? (label === predicted ? good : bad) : line) ?? "";
      brush.fillRect(predicted * side, label * side, side - gap, side - gap);
      if (!times || side < 24) return;
      brush.globalAlpha = 1;
      brush.fillStyle = style.getPropertyValue("--page-strong");
      brush.font = "11px sans-serif";
      brush.textAlign = "center";
      brush.fillText(String(times), (predicted + 0.5) * side, label * side + side / 2 + 4);
    });
  });
}
