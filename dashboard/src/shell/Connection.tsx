/** Says when the service is away, and when it is back lets everything be asked for again. */

import { Alert, Loader } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { api, data } from "../api/client";
import { asProblem } from "../api/problems";

const ALIVE_MS = 10_000;
const AWAY_MS = 1_500;

export function Connection() {
  const away = useAway();
  const client = useQueryClient();
  const wasAway = useRef(false);
  useEffect(() => {
    if (wasAway.current && !away) void client.invalidateQueries();
    wasAway.current = away;
  }, [away, client]);
  return (
    <div role="status" aria-live="polite" className="away">
      {away && (
        <Alert
          color="yellow"
          variant="light"
          icon={<Loader size="xs" />}
          title="The service does not answer"
        >
          It may be restarting. What you see is from before; this page goes on by itself when it is
          back. If it does not come back, start it: <code>featurepack serve --worker</code>
        </Alert>
      )}
    </div>
  );
}

/** Any query that got no answer makes this ask at once whether the service lives. */
function useAway(): boolean {
  const client = useQueryClient();
  const health = useQuery({
    queryKey: ["alive"],
    queryFn: ({ signal }) => data(api.GET("/healthz", { signal })),
    retry: false,
    refetchInterval: (query) => (query.state.status === "error" ? AWAY_MS : ALIVE_MS),
  });
  useEffect(
    () =>
      client.getQueryCache().subscribe((event) => {
        if (event.type !== "updated" || event.action.type !== "error") return;
        const [name] = event.query.queryKey as unknown[];
        if (name !== "alive" && asProblem(event.action.error).unreachable)
          void client.invalidateQueries({ queryKey: ["alive"] });
      }),
    [client],
  );
  return health.isError && asProblem(health.error).unreachable;
}
