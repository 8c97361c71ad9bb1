/** The colours of a map's points. */

import { classColour } from "../charts/colours";
import { rightOf, type Points } from "./points";

export interface Judge {
  bits: string;
  /** Rows of the split that the bits are of. */
  start: number;
  stop: number;
}

const GOOD = [0, 158, 115] as const;
const BAD = [213, 62, 30] as const;
const NEUTRAL = [138, 143, 148] as const;
const FULL = 235;
const FAINT = 46;

type Colour = readonly [number, number, number];

/** By class, or by right and wrong; what is not chosen is faint. */
export function tints(points: Points, judge: Judge | null, chosen: Uint8Array | null): Uint8Array {
  const found = new Uint8Array(4 * points.count);
  const classes = new Map<number, Colour>();
  for (let point = 0; point < points.count; point++) {
    const colour = judge
      ? judged(points.rows[point]!, judge)
      : byClass(classes, points.labels[point]!);
    found[4 * point] = colour[0];
    found[4 * point + 1] = colour[1];
    found[4 * point + 2] = colour[2];
    const faint = (judge && colour === NEUTRAL) || (chosen && !chosen[point]);
    found[4 * point + 3] = faint ? FAINT : FULL;
  }
  return found;
}

function judged(row: number, { bits, start, stop }: Judge): Colour {
  if (row < start || row >= stop) return NEUTRAL;
  return rightOf(bits, row, start) ? GOOD : BAD;
}

function byClass(known: Map<number, Colour>, label: number): Colour {
  const before = known.get(label);
  if (before) return before;
  const colour = parsed(classColour(label));
  known.set(label, colour);
  return colour;
}

/** "#0072b2" or "hsl(120 60% 52%)" as bytes. */
export function parsed(colour: string): Colour {
  if (colour.startsWith("#")) {
    const value = Number.parseInt(colour.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }
  const [hue = 0, saturation = 0, light = 0] = colour.match(/[\d.]+/g)!.map(Number);
  const chroma = (saturation / 100) * Math.min(light / 100, 1 - light / 100);
  const part = (n: number) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light / 100 - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}
