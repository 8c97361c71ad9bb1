/** What of the packs is shown, as it stands in the address. */

import type { PackFilter } from "../api/calls";

export const SORTS = [
  "created",
  "last_used",
  "hits",
  "bytes",
  "rows",
  "network",
  "dataset",
  "accuracy",
] as const;

export type Sort = (typeof SORTS)[number];

export interface PacksSearch {
  q?: string;
  network?: string;
  dataset?: string;
  health?: "sound" | "damaged";
  pinned?: boolean;
  sort?: Sort;
  order?: "asc";
  /** Cursors of the pages that lead here, so that one can go back. */
  pages?: string[];
}

/** The search part of an address; what makes no sense is left out. */
export function packsSearch(given: Record<string, unknown>): PacksSearch {
  const found: PacksSearch = {};
  for (const name of ["q", "network", "dataset"] as const) {
    const value = given[name];
    if (typeof value === "string" || typeof value === "number")
      if (value !== "") found[name] = String(value);
  }
  if (given["health"] === "sound" || given["health"] === "damaged") found.health = given["health"];
  if (given["pinned"] === true) found.pinned = true;
  const sort = SORTS.find((one) => one === given["sort"]);
  if (sort && sort !== "created") found.sort = sort;
  if (given["order"] === "asc") found.order = "asc";
  const pages = given["pages"];
  if (Array.isArray(pages) && pages.length && pages.every((one) => typeof one === "string"))
    found.pages = pages;
  return found;
}

/** What the service is asked: the filters, and the page. */
export function asked({ pages, ...filter }: PacksSearch): [filter: PackFilter, cursor?: string] {
  return [filter, pages?.at(-1)];
}

/** Another filter or order begins on the first page. */
export function changed(search: PacksSearch, change: Partial<PacksSearch>): PacksSearch {
  const { pages: _, ...rest } = { ...search, ...change };
  return packsSearch(rest);
}

/** The order as the table tells it. */
export const sortingOf = (search: PacksSearch) => [
  { id: search.sort ?? "created", desc: search.order !== "asc" },
];

export const sorted = (search: PacksSearch, { id, desc }: { id: string; desc: boolean }) =>
  changed(search, { sort: SORTS.find((one) => one === id), order: desc ? undefined : "asc" });
