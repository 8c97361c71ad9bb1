/** Jobs in words. */

import type { Job, Progress } from "../api/shapes";
import { count, digits, duration } from "../words/numbers";
import { plain } from "../words/plain";

const KINDS: Record<string, string> = {
  extract: "Extract features",
  ingest: "Import images",
  weights: "Import a checkpoint",
  import: "Import features",
  head: "Train a head",
  predict: "Classify by a head",
  classify: "Classify by a network",
  onnx: "Export as ONNX",
  verify: "Verify a pack",
  statistics: "Count what a pack holds",
  map: "Draw the map of a pack",
};

export const kindInWords = (job: Job): string => KINDS[job.kind] ?? job.kind;

/** "Extract features: resnet50 on birds" */
export function titleOf(job: Job): string {
  const about = [job.about.network, job.about.dataset].filter(Boolean).join(" on ");
  return about ? `${kindInWords(job)}: ${about}` : kindInWords(job);
}

export const STATES: Record<Job["state"], { word: string; colour: string; sign: string }> = {
  queued: { word: "queued", colour: "var(--mantine-color-dimmed)", sign: "○" },
  running: { word: "running", colour: "var(--page-accent)", sign: "●" },
  succeeded: { word: "succeeded", colour: "var(--page-good)", sign: "✓" },
  failed: { word: "failed", colour: "var(--page-bad)", sign: "✕" },
  cancelled: { word: "cancelled", colour: "var(--mantine-color-dimmed)", sign: "⊘" },
};

const LIMITS: Record<string, string> = {
  decode: "decoding images: more processor cores would help",
  compute: "the network itself: a faster device would help",
  write: "writing: a faster disk would help",
};

export const limitInWords = (progress: Progress): string =>
  LIMITS[progress.limited_by ?? ""] ?? "not known yet";

/** From 0 to 1; null where nobody knows. */
export function share(progress: Progress): number | null {
  const { rows_done, rows_total } = progress;
  return rows_total && rows_done !== undefined ? Math.min(1, rows_done / rows_total) : null;
}

/** "extracting · 1,200 of 5,000 rows · 350 images/s · 11 s left" */
export function progressInWords(progress: Progress): string {
  const { phase, rows_done, rows_total, images_per_second, seconds_left } = progress;
  const rows = rows_total
    ? `${count(rows_done)} of ${count(rows_total)} rows`
    : rows_done && `${count(rows_done)} rows`;
  return [
    phase,
    rows,
    images_per_second ? `${digits(images_per_second)} images/s` : undefined,
    seconds_left != null && `${duration(seconds_left)} left`,
  ]
    .filter((part) => Boolean(part))
    .join(" · ");
}

interface JobError {
  detail: string;
  remedy: string;
}

/** A job's or an attempt's error in words. */
export function errorInWords(error: Record<string, unknown> | null | undefined): JobError | null {
  if (!error) return null;
  const detail = error["detail"] ?? error["message"] ?? error["title"];
  return { detail: plain(detail, "it failed"), remedy: plain(error["remedy"]) };
}

/** The seconds that a job took, or runs already. */
export function tookSeconds(job: Job, now = Date.now()): number | null {
  if (!job.started) return null;
  return ((job.finished ? Date.parse(job.finished) : now) - Date.parse(job.started)) / 1000;
}
