/** The calls of the page, each a query or a function that answers data or throws a Problem. */

import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";

import type { Method } from "../heads/methods";
import { api, data } from "./client";
import type { paths } from "./schema";
import type { Job, JobRequest } from "./shapes";

export type PackFilter = Omit<
  NonNullable<paths["/v1/packs"]["get"]["parameters"]["query"]>,
  "cursor" | "limit"
>;

export const PAGE = 50;

export const packsQuery = (filter: PackFilter, cursor: string | undefined) =>
  queryOptions({
    queryKey: ["packs", filter, cursor],
    queryFn: ({ signal }) =>
      data(api.GET("/v1/packs", { params: { query: { ...filter, cursor, limit: PAGE } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  });

/** The packs with the best heads: enough for a table of networks and datasets. */
export const bestPacksQuery = queryOptions({
  queryKey: ["packs", "best"],
  queryFn: ({ signal }) =>
    data(api.GET("/v1/packs", { params: { query: { sort: "accuracy", limit: 500 } }, signal })),
});

export const packQuery = (packId: string) =>
  queryOptions({
    queryKey: ["pack", packId],
    queryFn: ({ signal }) =>
      data(api.GET("/v1/packs/{pack_id}", { params: { path: { pack_id: packId } }, signal })),
  });

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  queryFn: ({ signal }) => data(api.GET("/v1/overview", { signal })),
  refetchInterval: 10_000,
});

/** Computed by a worker the first time: until then the answer is its job, asked for again. */
export const statisticsQuery = (packId: string) =>
  queryOptions({
    queryKey: ["statistics", packId],
    queryFn: ({ signal }) =>
      data(
        api.GET("/v1/packs/{pack_id}/statistics", {
          params: { path: { pack_id: packId }, header: { prefer: "wait=5" } },
          signal,
        }),
      ),
    staleTime: Infinity,
    refetchInterval: (query) => (query.state.data?.object === "job" ? 1_000 : false),
  });

export const headsQuery = (packId?: string) =>
  infiniteQueryOptions({
    queryKey: ["heads", packId ?? "all"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      data(
        api.GET("/v1/heads", {
          params: { query: { pack_id: packId, cursor: pageParam, limit: 500 } },
          signal,
        }),
      ),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const headQuery = (headId: string) =>
  queryOptions({
    queryKey: ["head", headId],
    queryFn: ({ signal }) =>
      data(api.GET("/v1/heads/{head_id}", { params: { path: { head_id: headId } }, signal })),
    staleTime: Infinity,
  });

export const datasetsQuery = queryOptions({
  queryKey: ["datasets"],
  queryFn: ({ signal }) =>
    data(api.GET("/v1/datasets", { params: { query: { limit: 500 } }, signal })),
});

export const networksQuery = queryOptions({
  queryKey: ["networks"],
  queryFn: ({ signal }) => data(api.GET("/v1/networks", { signal })),
  staleTime: Infinity,
});

export const networkQuery = (name: string) =>
  queryOptions({
    queryKey: ["network", name],
    queryFn: ({ signal }) =>
      data(api.GET("/v1/networks/{name}", { params: { path: { name } }, signal })),
    staleTime: Infinity,
  });

export const checkpointsQuery = queryOptions({
  queryKey: ["weights"],
  queryFn: ({ signal }) =>
    data(api.GET("/v1/weights", { params: { query: { limit: 500 } }, signal })),
});

export const jobsQuery = (state: Job["state"] | undefined) =>
  infiniteQueryOptions({
    queryKey: ["jobs", state ?? "all"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      data(
        api.GET("/v1/jobs", { params: { query: { state, cursor: pageParam, limit: 50 } }, signal }),
      ),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const jobQuery = (jobId: string) =>
  queryOptions({
    queryKey: ["job", jobId],
    queryFn: ({ signal }) =>
      data(api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: jobId } }, signal })),
  });

export const estimateQuery = (request: JobRequest | null) =>
  queryOptions({
    queryKey: ["estimate", request],
    enabled: request !== null,
    queryFn: ({ signal }) => data(api.POST("/v1/jobs/estimate", { body: request!, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: 15_000,
  });

export const submitJob = (body: JobRequest) => data(api.POST("/v1/jobs", { body }));

export const cancelJob = (jobId: string) =>
  data(
    api.POST("/v1/jobs/{job_id}/cancel", {
      params: { path: { job_id: jobId }, query: { force: true } },
    }),
  );

export const retryJob = (jobId: string) =>
  data(api.POST("/v1/jobs/{job_id}/retry", { params: { path: { job_id: jobId } } }));

export const deletePacks = (packIds: string[]) =>
  data(api.POST("/v1/packs/delete", { body: { pack_ids: packIds } }));

export const pinPacks = (packIds: string[], pinned: boolean) =>
  data(api.POST("/v1/packs/pin", { body: { pack_ids: packIds, pinned } }));

export const verifyPack = (packId: string) =>
  data(api.POST("/v1/packs/{pack_id}/verify", { params: { path: { pack_id: packId } } }));

type HeadRequest = paths["/v1/heads"]["post"]["requestBody"]["content"]["application/json"];

/** With the method's own parameters, which the types ask for though the service has defaults. */
export const trainHead = (packId: string, method: Method, validation: string | null) =>
  data(api.POST("/v1/heads", { body: { pack_id: packId, method, validation } as HeadRequest }));

export const registerDigits = () =>
  data(
    api.POST("/v1/datasets", {
      body: { name: "digits", source: { kind: "builtin", name: "digits" } },
    }),
  );
