/** A map's points as they come: 16 bytes each, x and y float32, row uint32, label int32. */

export interface Points {
  count: number;
  /** x and y by turns, within −1 and 1, the longer side filled. */
  places: Float32Array;
  rows: Uint32Array;
  labels: Int32Array;
  /** How far from the middle they reach, across and up: one of them is 1. */
  reach: [x: number, y: number];
}

const WORDS = 4;

export function pointsOf(buffer: ArrayBuffer): Points {
  const floats = new Float32Array(buffer);
  const rowsAndMore = new Uint32Array(buffer);
  const signed = new Int32Array(buffer);
  const count = Math.floor(floats.length / WORDS);
  const places = new Float32Array(2 * count);
  const rows = new Uint32Array(count);
  const labels = new Int32Array(count);
  const box = boxOf(floats, count);
  for (let point = 0; point < count; point++) {
    places[2 * point] = (floats[WORDS * point]! - box.x) * box.scale;
    places[2 * point + 1] = (floats[WORDS * point + 1]! - box.y) * box.scale;
    rows[point] = rowsAndMore[WORDS * point + 2]!;
    labels[point] = signed[WORDS * point + 3]!;
  }
  return { count, places, rows, labels, reach: box.reach };
}

function boxOf(floats: Float32Array, count: number) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let point = 0; point < count; point++) {
    const [x, y] = [floats[WORDS * point]!, floats[WORDS * point + 1]!];
    left = Math.min(left, x);
    right = Math.max(right, x);
    low = Math.min(low, y);
    high = Math.max(high, y);
  }
  const side = Math.max(right - left, high - low) || 1;
  return {
    x: (left + right) / 2,
    y: (low + high) / 2,
    scale: 2 / side,
    reach: [(right - left) / side, (high - low) / side] as [number, number],
  };
}

/** Which rows of validation a head gets right, from the bits in its metrics, first bit highest. */
export function rightOf(bits: string, row: number, start: number): boolean {
  const index = row - start;
  const byte = Number.parseInt(bits.slice(2 * (index >> 3), 2 * (index >> 3) + 2), 16);
  return ((byte >> (7 - (index & 7))) & 1) === 1;
}
