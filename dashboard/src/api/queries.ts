/** How answers are kept, asked for again, and retried. */

import { QueryClient } from "@tanstack/react-query";

import { asProblem } from "./problems";

const TRIES = 3;

/** What may pass is tried again, as late as the service asks for; the rest is shown at once. */
export function retry(failures: number, error: unknown): boolean {
  const problem = asProblem(error);
  return problem.passes && !problem.unreachable && failures < TRIES;
}

export function retryDelay(failures: number, error: unknown): number {
  const asked = asProblem(error).retryAfterSeconds;
  return asked === null ? 500 * 2 ** failures : Math.min(1000 * asked, 30_000);
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      retry,
      retryDelay,
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});
