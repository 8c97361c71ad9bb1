import { queryOptions } from "@tanstack/react-query";

import { api } from "../api/client";
import type { Job } from "../api/shapes";
import { pointsOf, type Points } from "./points";

export type Method = "pca" | "tsne";

/** The map's points, or the job that computes them, asked for again until they are there. */
export const mapQuery = (packId: string, method: Method) =>
  queryOptions({
    queryKey: ["map", packId, method],
    queryFn: async ({ signal }): Promise<Points | Job> => {
      const { response } = await api.GET("/v1/packs/{pack_id}/map", {
        params: {
          path: { pack_id: packId },
          query: { method, format: "raw" },
          header: { prefer: "wait=5" },
        },
        parseAs: "stream",
        signal,
      });
      if (response.status === 202) return (await response.json()) as Job;
      const bytes = await response.arrayBuffer();
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
      const { response } = await api.GET("/v1/packs/{pack_id}/index", {
        params: { path: { pack_id: packId }, query: { start, stop } },
        parseAs: "stream",
        signal,
      });
      const { rows } = (await response.json()) as Index;
      return new Map(rows.map(({ row, row_id }) => [row, row_id]));
    },
    staleTime: Infinity,
    structuralSharing: false,
  });
