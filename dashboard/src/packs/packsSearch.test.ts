import { describe, expect, it } from "vitest";

import { changed, packsSearch, resorted } from "./packsSearch";

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

  it("sorts by the largest first, by names from A, and turns round", () => {
    const byHits = resorted({}, "hits");
    expect(byHits).toEqual({ sort: "hits" });
    expect(resorted(byHits, "hits")).toEqual({ sort: "hits", order: "asc" });
    expect(resorted(resorted(byHits, "hits"), "hits")).toEqual({ sort: "hits" });
    expect(resorted(byHits, "network")).toEqual({ sort: "network", order: "asc" });
    expect(resorted({}, "created")).toEqual({ order: "asc" });
  });
});
