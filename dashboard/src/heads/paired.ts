/** Two heads, image by image. */

import type { Metrics } from "../api/shapes";
import { count, percent } from "../words/numbers";

interface Words {
  title: string;
  detail: string;
}

/** Below this a difference is not taken for chance, as is usual. */
const CHANCE = 0.05;

/** `names`: what each is called, such as "linear on resnet50". */
export function agreement(first: Metrics, second: Metrics, names: [string, string]): Words {
  const [a, b] = [first.validation_right, second.validation_right];
  if (!a || !b || a.rows !== b.rows) return byIntervals(first, second);
  const [onlyFirst, onlySecond] = discordant(a.bits, b.bits);
  const p = mcnemar(onlyFirst, onlySecond);
  const [better, worse] = onlyFirst > onlySecond ? names : [names[1], names[0]];
  const title = p < CHANCE ? `${better} is better than ${worse}` : "The difference may be chance";
  return {
    title,
    detail:
      `Of the same ${count(first.validation_rows)} images only the left head gets ${count(onlyFirst)} right, ` +
      `only the right one ${count(onlySecond)}. If they were equally good, so large a difference would be ` +
      `seen with probability ${p < 0.001 ? "below 0.001" : p.toFixed(3)} (McNemar's exact test).`,
  };
}

function byIntervals(first: Metrics, second: Metrics): Words {
  const [a, b] = [first.validation_interval, second.validation_interval];
  if (!a || !b)
    return { title: "They cannot be compared", detail: "At least one has no validation accuracy." };
  const [[low = 0, high = 1], [otherLow = 0, otherHigh = 1]] = [a, b];
  const apart = low > otherHigh || otherLow > high;
  return {
    title: apart ? "One is better" : "The difference may be chance",
    detail:
      `They were scored on different images: ${percent(first.validation_accuracy)} and ` +
      `${percent(second.validation_accuracy)}. Their 95 % intervals ${apart ? "do not overlap" : "overlap"}.`,
  };
}

/** How many images only the one, only the other gets right; bits are hex digits. */
export function discordant(a: string, b: string): [onlyFirst: number, onlySecond: number] {
  let [onlyFirst, onlySecond] = [0, 0];
  for (let digit = 0; digit < Math.min(a.length, b.length); digit++) {
    const [one, other] = [Number.parseInt(a[digit]!, 16), Number.parseInt(b[digit]!, 16)];
    onlyFirst += ones(one & ~other);
    onlySecond += ones(other & ~one);
  }
  return [onlyFirst, onlySecond];
}

const ones = (bits: number): number => {
  let found = 0;
  for (let rest = bits & 15; rest; rest &= rest - 1) found++;
  return found;
};

/** McNemar's exact test: twice the smaller tail of a fair coin's binomial, at most 1. */
export function mcnemar(onlyFirst: number, onlySecond: number): number {
  const tosses = onlyFirst + onlySecond;
  const fewer = Math.min(onlyFirst, onlySecond);
  let log = -tosses * Math.LN2; // of the probability of no head in so many tosses
  let tail = Math.exp(log);
  for (let heads = 1; heads <= fewer; heads++) {
    log += Math.log((tosses - heads + 1) / heads);
    tail += Math.exp(log);
  }
  return Math.min(1, 2 * tail);
}
