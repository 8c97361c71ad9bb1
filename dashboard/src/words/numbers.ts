/** Numbers as people read them. Every function takes null for "not known" and answers a dash. */

export const DASH = "–";

type Maybe = number | null | undefined;

const missing = (value: Maybe): value is null | undefined => value == null || Number.isNaN(value);

const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** 1797 → "1,797" */
export function count(value: Maybe): string {
  return missing(value) ? DASH : WHOLE.format(value);
}

const BIG: [number, string][] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** 3504872 → "3.50 M" */
export function short(value: Maybe): string {
  if (missing(value)) return DASH;
  const unit = BIG.find(([size]) => Math.abs(value) >= size);
  return unit ? `${digits(value / unit[0])} ${unit[1]}` : digits(value);
}

/** Powers of 1,000, as disks are sold: 433792 → "434 kB" */
export function bytes(value: Maybe): string {
  if (missing(value)) return DASH;
  if (value < 1000) return `${value} B`;
  return `${short(value)}B`;
}

/** Three digits that mean something: 0.123, 1.23, 12.3, 123 */
export function digits(value: Maybe): string {
  if (missing(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return power(value);
  if (size >= 1000) return count(value);
  const places = Math.max(0, 2 - Math.floor(Math.log10(size)));
  return Number.isInteger(value) && size < 1000
    ? String(value)
    : value.toFixed(Math.min(places, 4));
}

/** 4.6e-7 → "4.6 × 10⁻⁷" */
function power(value: number): string {
  const [front, exponent] = value.toExponential(1).split("e");
  const raised = exponent!.replace("+", "").replace(/[-0-9]/g, (sign) => RAISED[sign]!);
  return `${front} × 10${raised}`;
}

const RAISED: Record<string, string> = {
  "-": "⁻",
  "0": "⁰",
  "1": "¹",
  "2": "²",
  "3": "³",
  "4": "⁴",
  "5": "⁵",
  "6": "⁶",
  "7": "⁷",
  "8": "⁸",
  "9": "⁹",
};

/** 0.8195 → "82.0 %" */
export function percent(value: Maybe, places = 1): string {
  return missing(value) ? DASH : `${(100 * value).toFixed(places)} %`;
}

/** 3725 → "1 h 2 min" */
export function duration(seconds: Maybe): string {
  if (missing(seconds)) return DASH;
  if (seconds === 0) return "0 s";
  if (seconds < 1) return `${Math.max(1, Math.round(1000 * seconds))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return parts(whole, 60, "min", "s");
  if (whole < 86400) return parts(Math.round(whole / 60), 60, "h", "min");
  return parts(Math.round(whole / 3600), 24, "d", "h");
}

function parts(value: number, base: number, large: string, small: string): string {
  const rest = value % base;
  return `${Math.floor(value / base)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

/** How long ago a moment was: "just now", "5 min ago", "3 d ago" */
export function ago(moment: string | null | undefined, now: number = Date.now()): string {
  if (!moment) return DASH;
  const seconds = (now - Date.parse(moment)) / 1000;
  if (seconds < 10) return "just now";
  return `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

/** [2048] → "2,048"; [512, 7, 7] → "512 × 7 × 7" */
export function shape(sides: number[] | null | undefined): string {
  return sides?.length ? sides.map(count).join(" × ") : DASH;
}
