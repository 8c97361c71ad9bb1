/** Values to places in a picture, and round numbers for axes. */

export type Scale = (value: number) => number;

export function linear([from, to]: [number, number], [start, stop]: [number, number]): Scale {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (stop - start);
}

/** About so many round numbers from one value to another: 1, 2 or 5 times a power of ten apart. */
export function ticks(from: number, to: number, about = 4): number[] {
  if (!(to > from)) return [from];
  const rough = (to - from) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999)!;
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** The smallest and largest of what is a number; [0, 1] if nothing is. */
export function extent(values: Iterable<number | null | undefined>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value == null || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}
