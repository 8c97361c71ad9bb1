import { describe, expect, it } from "vitest";

import { extent, linear, ticks } from "./scale";

describe("scales", () => {
  it("maps ends to ends, and does not divide by nothing", () => {
    const scale = linear([10, 20], [100, 0]);
    expect([scale(10), scale(15), scale(20)]).toEqual([100, 50, 0]);
    expect(linear([5, 5], [0, 10])(5)).toBe(0);
  });

  it("finds round numbers", () => {
    expect(ticks(0, 1)).toEqual([0, 0.5, 1]);
    expect(ticks(0, 97)).toEqual([0, 50]);
    expect(ticks(0.31, 0.92)).toEqual([0.4, 0.6, 0.8]);
    expect(ticks(3, 3)).toEqual([3]);
  });

  it("looks over what is no number", () => {
    expect(extent([3, null, undefined, Number.NaN, -1])).toEqual([-1, 3]);
    expect(extent([])).toEqual([0, 1]);
  });
});
