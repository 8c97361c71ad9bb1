/** The confusion matrix: drawn on a canvas, so that 256 classes are no trouble. */

import { Group, Slider, Text, useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef, useState, type MouseEvent } from "react";

import { count, percent } from "../words/numbers";
import { mostConfused } from "./grid";

interface Props {
  confusion: number[][];
  classes: string[];
}

/** Below this many pixels a class there is no room for names, below that none for numbers. */
const NAMED = 14;
const NUMBERED = 24;
const MANY = 20;

export function Confusion({ confusion, classes }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { ref: frame, width } = useElementSize();
  const [chosen, setSide] = useState<number | null>(null);
  const names = marginOf(classes);
  const fitting = Math.floor((width - names) / confusion.length);
  const side = chosen ?? Math.max(2, Math.min(42, fitting));
  const margin = side < NAMED ? 0 : names;
  const [hover, setHover] = useState<[label: number, predicted: number] | null>(null);
  const scheme = useComputedColorScheme("light");
  useEffect(
    () => draw(canvas.current, { confusion, classes, side, margin }),
    [confusion, classes, side, margin, scheme],
  );
  const move = ({ nativeEvent }: MouseEvent) => {
    const predicted = Math.floor((nativeEvent.offsetX - margin) / side);
    const label = Math.floor((nativeEvent.offsetY - margin) / side);
    setHover(confusion[label]?.[predicted] === undefined ? null : [label, predicted]);
  };
  const pixels = margin + side * confusion.length;
  return (
    <>
      <Text size="sm" mih={22} aria-live="off">
        {hover
          ? cellInWords(confusion, classes, hover)
          : "Rows: what it is. Columns: what the head says."}
      </Text>
      <div
        ref={frame}
        style={{ overflow: "auto", maxHeight: 520, minHeight: 260 }}
        tabIndex={0}
        role="group"
        aria-label="Confusion matrix, to scroll"
      >
        <canvas
          ref={canvas}
          role="img"
          aria-label={`Confusion matrix of ${classes.length} classes. ${confusedInWords(confusion, classes)}`}
          style={{ width: pixels, height: pixels, display: "block" }}
          onMouseMove={move}
          onMouseLeave={() => setHover(null)}
        />
      </div>
      {confusion.length > MANY && (
        <Group mt="xs" gap="sm">
          <Text size="xs" c="dimmed">
            Size
          </Text>
          <Slider
            w={160}
            size="sm"
            min={2}
            max={42}
            value={side}
            onChange={setSide}
            label={null}
            thumbLabel="Size of the matrix"
          />
        </Group>
      )}
      <Text size="xs" c="dimmed" mt="xs">
        {confusedInWords(confusion, classes)}
      </Text>
    </>
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

/** Room for the longest name, within reason. */
const marginOf = (classes: string[]): number =>
  Math.min(110, 14 + 6.5 * Math.max(1, ...classes.map((name) => name.length)));

interface Drawn extends Props {
  side: number;
  margin: number;
}

/** Each row shaded by its shares; what is right in the accent, what is wrong in red. */
function draw(canvas: HTMLCanvasElement | null, { confusion, classes, side, margin }: Drawn): void {
  const brush = canvas?.getContext("2d");
  if (!canvas || !brush) return;
  const style = getComputedStyle(canvas);
  const colour = (name: string) => style.getPropertyValue(name);
  const density = window.devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round((margin + side * confusion.length) * density);
  brush.scale(density, density);
  brush.font = "11px sans-serif";
  if (margin) drawNames(brush, classes, side, margin, colour("--mantine-color-dimmed"));
  const gap = side > 6 ? 1 : 0;
  confusion.forEach((row, label) => {
    const all = Math.max(
      1,
      row.reduce((sum, times) => sum + times, 0),
    );
    row.forEach((times, predicted) => {
      const [x, y] = [margin + predicted * side, margin + label * side];
      const share = times / all;
      brush.globalAlpha = times ? 0.12 + 0.5 * Math.sqrt(share) : 0.35;
      brush.fillStyle = colour(
        times ? (label === predicted ? "--page-accent" : "--page-bad") : "--page-line",
      );
      brush.fillRect(x, y, side - gap, side - gap);
      if (!times || side < NUMBERED) return;
      brush.globalAlpha = 1;
      brush.fillStyle = colour("--page-strong");
      brush.textAlign = "center";
      brush.fillText(String(times), x + side / 2, y + side / 2 + 4, side - 2);
    });
  });
}

/** Labels down the left side, predictions along the top, turned so that they fit. */
function drawNames(
  brush: CanvasRenderingContext2D,
  classes: string[],
  side: number,
  margin: number,
  colour: string,
): void {
  brush.fillStyle = colour;
  brush.textAlign = "right";
  classes.forEach((name, index) => {
    const middle = margin + (index + 0.5) * side + 4;
    const shown = name.length > 16 ? `${name.slice(0, 15)}…` : name;
    brush.fillText(shown, margin - 6, middle, margin - 8);
    brush.save();
    brush.translate(middle, margin - 6);
    if (margin > side) brush.rotate(-Math.PI / 2);
    else brush.translate(-4, 0);
    brush.textAlign = margin > side ? "left" : "center";
    brush.fillText(shown, 0, 0, margin > side ? margin - 8 : side - 2);
    brush.restore();
  });
}
