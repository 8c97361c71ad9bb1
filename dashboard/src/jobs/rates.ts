/** Images per second over time: what the job tells, or what this page saw itself. */

import { useEffect, useRef, useState } from "react";

import type { Job } from "../api/shapes";

type Point = [seconds: number, rate: number];

const KEPT = 240;

/** The job's own history if it has one; else a point for every change since the view was opened. */
export function useRates(job: Job): Point[] {
  const progress = job.progress;
  const seen = useRef<Point[]>([]);
  const [, draw] = useState(0);
  const { seconds, images_per_second: rate } = progress;
  useEffect(() => {
    if (!rate || seconds === undefined) return;
    seen.current = [...seen.current.filter(([at]) => at < seconds), [seconds, rate] as Point].slice(
      -KEPT,
    );
    draw((times) => times + 1);
  }, [seconds, rate]);
  return progress.history?.length ? (progress.history as Point[]) : seen.current;
}
