/** Who one is. A key that was given once stays in a cookie that no script can read. */

import { queryOptions } from "@tanstack/react-query";

import { api, data } from "./client";

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => data(api.GET("/v1/session", { signal })),
  staleTime: Infinity,
});

export const signIn = (key: string) => data(api.POST("/v1/session", { body: { key } }));

export const signOut = () => data(api.DELETE("/v1/session"));
