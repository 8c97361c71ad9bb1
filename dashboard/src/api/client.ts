/** The one door to the service. Every call answers its data or throws a Problem. */

import createClient, { type Middleware } from "openapi-fetch";
import type { Readable } from "openapi-typescript-helpers";

import { problemOf, unreachable } from "./problems";
import type { components, paths } from "./schema";

/** As the client answers them, which makes lists of tuples. */
export type Schemas = Readable<components["schemas"]>;

const failures: Middleware = {
  onError: ({ error }) => (isAbort(error) ? undefined : unreachable()),
  async onResponse({ response }) {
    if (response.ok) return;
    const body: unknown = await response.json().catch(() => undefined);
    throw problemOf(response.status, body, response.headers.get("Retry-After"));
  },
};

const isAbort = (error: unknown) => error instanceof DOMException && error.name === "AbortError";

export const api = createClient<paths>();
api.use(failures);

/** The data of an answer; failures were thrown before. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data: found } = await answer;
  return found as T;
}
