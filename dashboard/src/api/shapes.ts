/** Answers by the names that the page uses for them. */

import type { Schemas } from "./client";

export type Pack = Schemas["PackAnswer"];
export type Job = Schemas["JobAnswer"];
export type Head = Schemas["HeadAnswer"];
export type Dataset = Schemas["DatasetAnswer"];
export type Network = Omit<Schemas["NetworkAnswer"], "input_size"> & { input_size: number[] };
export type Estimate = Schemas["EstimateAnswer"];
export type JobRequest = Schemas["JobRequest"];

export interface BestHead {
  head_id: string;
  method: string;
  accuracy: number;
}

/** What lists of packs say besides. */
export type ListedPack = Pack & {
  tap?: string | null;
  health?: "sound" | "damaged";
  best_head?: BestHead | null;
};

export interface PackPage {
  items: ListedPack[];
  next_cursor?: string | null;
  total?: number;
}

export interface WorkerAtWork {
  worker: string;
  device: string;
  machine: string;
  started: string;
  seen: string;
  byte_limit: number | null;
  jobs: { id: string; kind: string; pack_id: string | null; progress: Progress }[];
  busy: boolean;
}

export interface Overview {
  packs: number;
  damaged_packs: number;
  rows: number;
  bytes: number;
  byte_limit: number | null;
  heads: number;
  datasets: number;
  hits: number;
  hit_rate: number | null;
  seconds_saved: { hits: number; row_reuse: number; total: number };
  rows_reused: number;
  counted: { hit_rate: string; hits: string; row_reuse: string };
  jobs: Record<Job["state"], number>;
  workers: WorkerAtWork[];
}

export interface SplitStatistics {
  rows: number;
  unlabelled: number;
  invalid: number;
  classes: number[];
}

export interface Statistics {
  object: "statistics";
  rows: number;
  rows_valid: number;
  classes: string[];
  splits: Record<string, SplitStatistics>;
  values: { zeros: number; minimum: number; maximum: number; mean: number } | null;
  norms: {
    mean: number;
    minimum: number;
    maximum: number;
    edges: number[];
    counts: number[];
  } | null;
}

export interface BulkAnswer {
  items: { pack_id: string; done: boolean; problem: { detail: string; remedy: string } | null }[];
}

/** What a running job says of itself; extractions say all of it. */
export interface Progress {
  phase?: string;
  rows_total?: number;
  rows_done?: number;
  rows_copied?: number;
  rows_computed?: number;
  rows_invalid?: number;
  images_per_second?: number;
  seconds_left?: number | null;
  seconds?: number;
  limited_by?: "decode" | "compute" | "write" | null;
  history?: [seconds: number, rate: number][];
}

export interface ClassScore {
  class: string;
  rows: number;
  precision: number;
  recall: number;
  f1: number;
}

export interface Mistake {
  row: number;
  row_id: string;
  label: string;
  predicted: string;
  probability: number;
  label_probability: number;
}

export interface Epoch {
  epoch: number;
  train_loss: number;
  train_accuracy: number;
  validation_loss?: number;
  validation_accuracy?: number;
}

export interface Evaluation {
  accuracy: number;
  interval: [number, number];
  top5_accuracy?: number;
  loss: number;
  macro_f1: number;
  per_class: ClassScore[];
  confusion?: number[][];
  most_wrong: Mistake[];
  calibration_error: number;
  reliability: { confidence: number; accuracy: number; rows: number }[];
}

/** A head's `metrics`; lists leave out the last four. */
export interface Metrics {
  train_rows: number;
  validation_rows?: number;
  seconds: number;
  train_accuracy: number;
  validation_accuracy?: number;
  validation_interval?: [number, number];
  validation_loss?: number;
  chosen?: Record<string, number>;
  curves?: Epoch[];
  evaluation?: Evaluation;
  trust?: { exact_duplicates: number; near_duplicates: number };
  validation_right?: { rows: string; bits: string };
}

export const metricsOf = (head: Head): Metrics => head.metrics as unknown as Metrics;
export const progressOf = (job: Job): Progress => job.progress as Progress;
