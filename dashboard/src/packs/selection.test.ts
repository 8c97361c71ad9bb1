import { describe, expect, it } from "vitest";

import { NOTHING, toggled, toggledAll } from "./selection";

const IDS = ["a", "b", "c", "d", "e"];

describe("which packs are chosen", () => {
  it("takes one, and lets it go", () => {
    const one = toggled(NOTHING, "b", IDS, false);
    expect([...one.chosen]).toEqual(["b"]);
    expect(toggled(one, "b", IDS, false).chosen.size).toBe(0);
  });

  it("takes a range in either direction", () => {
    const from = toggled(NOTHING, "d", IDS, false);
    expect([...toggled(from, "b", IDS, true).chosen].sort()).toEqual(["b", "c", "d"]);
    expect([...toggled(NOTHING, "b", IDS, true).chosen]).toEqual(["b"]);
  });

  it("takes all of a page, then none of it, and keeps those of other pages", () => {
    const other = toggled(NOTHING, "z", ["z"], false);
    const all = toggledAll(other, IDS);
    expect(all.chosen.size).toBe(6);
    expect([...toggledAll(all, IDS).chosen]).toEqual(["z"]);
  });
});
