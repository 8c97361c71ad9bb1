/** Calls that the generated types do not know, and bytes. */

import { Problem, problemOf, unreachable } from "./problems";

interface Options {
  method?: "GET" | "POST";
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** An answer that is no problem. Throws Problem. */
export async function fetchAnswer(path: string, options: Options = {}): Promise<Response> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {}))
    if (value !== undefined) query.set(name, String(value));
  const url = query.size ? `${path}?${query}` : path;
  const sent: RequestInit = { method: options.method ?? "GET", headers: { ...options.headers } };
  if (options.signal) sent.signal = options.signal;
  if (options.body !== undefined) {
    sent.body = JSON.stringify(options.body);
    sent.headers = { ...options.headers, "Content-Type": "application/json" };
  }
  const response = await fetch(url, sent).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw unreachable();
  });
  if (response.ok) return response;
  throw await refusal(response);
}

export async function fetchJson<T>(path: string, options: Options = {}): Promise<T> {
  return (await fetchAnswer(path, options)).json() as Promise<T>;
}

async function refusal(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => undefined);
  return problemOf(response.status, body, response.headers.get("Retry-After"));
}
