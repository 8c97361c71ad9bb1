import { queryOptions } from "@tanstack/react-query";

import { fetchAnswer, fetchJson } from "../api/raw";
import type { Job } from "../api/shapes";
import { pointsOf, type Points } from "./points";

export type Method = "pca" | "tsne";

/** The map's points, or the job that computes them, asked for again until they are there. */
export const mapQuery = (packId: string, method: Method) =>
  queryOptions({
    queryKey: ["map", packId, method],
    queryFn: async ({ signal }): Promise<Points | Job> => {
      const answer = await fetchAnswer(`/v1/packs/${packId}/map`, {
        query: { method, format: "raw" },
        headers: { Prefer: "wait=5" },
        signal,
      });
      if (answer.status === 202) return (await answer.json()) as Job;
      const bytes = await answer.arrayBuffer();
      performance.mark("map-arrived");
      return pointsOf(bytes);
    },
    staleTime: Infinity,
    structuralSharing: false,
    refetchInterval: ({ state }) => (state.data && "id" in state.data ? 1_000 : false),
  });

interface Index {
  rows: { row: number; row_id: string }[];
}

/** The id of each row from one to before another. */
export const indexQuery = (packId: string, start: number, stop: number) =>
  queryOptions({
    queryKey: ["index", packId, start, stop],
    queryFn: async ({ signal }): Promise<Map<number, string>> => {
      const query = { start, stop };
      const { rows } = await fetchJson<Index>(`/v1/packs/${packId}/index`, { query, signal });
      return new Map(rows.map(({ row, row_id }) => [row, row_id]));
    },
    staleTime: Infinity,
    structuralSharing: false,
  });
