import { describe, expect, it } from "vitest";

import { changed, packsSearch, sorted, sortingOf } from "./packsSearch";

describe("what of the packs is shown", () => {
  it("leaves out what makes no sense", () => {
    const given = { q: 16, network: "", health: "fine", sort: "created", order: "up", pages: [1] };
    expect(packsSearch(given)).toEqual({ q: "16" });
  });

  it("begins on the first page after a change", () => {
    const search = packsSearch({ q: "vgg", pages: ["a", "b"] });
    expect(search.pages).toEqual(["a", "b"]);
    expect(changed(search, { network: "vgg16" })).toEqual({ q: "vgg", network: "vgg16" });
    expect(changed(search, { q: "" })).toEqual({});
  });

  it("keeps the order in the address, but for the usual one", () => {
    const byHits = sorted({ pages: ["a"] }, { id: "hits", desc: true });
    expect(byHits).toEqual({ sort: "hits" });
    expect(sortingOf(byHits)).toEqual([{ id: "hits", desc: true }]);
    const byName = sorted(byHits, { id: "network", desc: false });
    expect(byName).toEqual({ sort: "network", order: "asc" });
    expect(sortingOf(byName)).toEqual([{ id: "network", desc: false }]);
    expect(sorted(byName, { id: "created", desc: true })).toEqual({});
    expect(sortingOf({})).toEqual([{ id: "created", desc: true }]);
  });
});
