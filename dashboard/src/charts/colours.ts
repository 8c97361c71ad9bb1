/** Colours of charts. */

/** Okabe and Ito's, told apart by people who are colour-blind too, then turns round the hue. */
const FEW = [
  "#0072b2",
  "#e69f00",
  "#009e73",
  "#d55e00",
  "#cc79a7",
  "#56b4e9",
  "#a8a000",
  "#8c564b",
  "#7f7fdb",
  "#5c6b73",
];

const GOLDEN_ANGLE = 137.508;

export function classColour(index: number): string {
  if (index < 0) return "#8a8f94";
  return FEW[index] ?? `hsl(${((index * GOLDEN_ANGLE) % 360).toFixed(0)} 60% 52%)`;
}

/** A cell that has some of the accent, for a share from 0 to 1: never so much that the text in
 * --page-strong on it could not be read, in light or in dark. */
export function shade(share: number): string {
  return `color-mix(in srgb, var(--page-accent) ${Math.round(50 * share)}%, var(--page-surface))`;
}
