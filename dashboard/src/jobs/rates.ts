/** Images per second over time: what the job tells, or what this page saw itself. */

import { useState } from "react";

import type { Job } from "../api/shapes";

type Point = [seconds: number, rate: number];

const KEPT = 240;

/** The job's own history if it has one; else a point for every change since the view was opened. */
export function useRates(job: Job): Point[] {
  const progress = job.progress;
  const [seen, setSeen] = useState<Point[]>([]);
  const { seconds, images_per_second: rate } = progress;
  if (rate && seconds !== undefined && seen.at(-1)?.[0] !== seconds) {
    const before = seen.filter(([at]) => at < seconds);
    setSeen([...before, [seconds, rate] as Point].slice(-KEPT));
  }
  return progress.history?.length ? (progress.history as Point[]) : seen;
}
