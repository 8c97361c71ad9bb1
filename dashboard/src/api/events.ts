/** One stream of all active jobs' changes, kept in the queries' cache. */

import { useQueryClient, type InfiniteData, type QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import type { Job } from "./shapes";

interface JobPage {
  items: Job[];
  next_cursor?: string | null;
}

const AGAIN_MS = 5_000;
const ENDED: Job["state"][] = ["succeeded", "failed", "cancelled"];

/** What the end of a job may have changed. */
const TOUCHED = ["packs", "overview", "heads", "datasets", "statistics", "pack", "weights"];

export const isEnded = (job: Job): boolean => ENDED.includes(job.state);

/** Listen as long as the page is there. The browser opens a broken stream again by itself, except
 * after an error status; then we do. */
export function useJobEvents(): void {
  const client = useQueryClient();
  useEffect(() => {
    let stream: EventSource;
    let timer: ReturnType<typeof setTimeout>;
    const open = () => {
      stream = new EventSource("/v1/events");
      stream.addEventListener("job", (event: MessageEvent<string>) =>
        keep(client, JSON.parse(event.data) as Job),
      );
      stream.addEventListener("reset", () => void client.invalidateQueries({ queryKey: ["jobs"] }));
      stream.addEventListener("error", () => {
        if (stream.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS);
      });
    };
    open();
    return () => {
      clearTimeout(timer);
      stream.close();
    };
  }, [client]);
}

function keep(client: QueryClient, job: Job): void {
  client.setQueryData(["job", job.id], job);
  for (const state of ["all", "queued", "running", "succeeded", "failed", "cancelled"])
    client.setQueryData<InfiniteData<JobPage>>(
      ["jobs", state],
      (before) =>
        before && {
          ...before,
          pages: placed(before.pages, job, state === "all" || state === job.state),
        },
    );
  if (isEnded(job)) for (const key of TOUCHED) void client.invalidateQueries({ queryKey: [key] });
}

/** The pages with a job as it is now: in its place, at the top if it is new, gone if it no longer
 * belongs to them. */
export function placed(pages: JobPage[], job: Job, belongs: boolean): JobPage[] {
  const there = pages.some((page) => page.items.some((one) => one.id === job.id));
  if (!there && belongs)
    return pages.map((page, index) => (index ? page : { ...page, items: [job, ...page.items] }));
  return pages.map((page) => ({
    ...page,
    items: page.items.flatMap((one) => (one.id !== job.id ? [one] : belongs ? [job] : [])),
  }));
}
