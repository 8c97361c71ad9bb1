import { describe, expect, it } from "vitest";

import type { Metrics } from "../api/shapes";
import { agreement, discordant, mcnemar } from "./paired";

const NAMES: [string, string] = ["left", "right"];

describe("two heads, image by image", () => {
  it("counts the images that one of them gets right", () => {
    expect(discordant("f0", "3f")).toEqual([2, 4]);
    expect(discordant("ffff", "ffff")).toEqual([0, 0]);
  });

  it("computes McNemar's exact p", () => {
    expect(mcnemar(0, 0)).toBe(1);
    expect(mcnemar(0, 5)).toBeCloseTo(0.0625); // 2 / 2^5
    expect(mcnemar(2, 8)).toBeCloseTo(0.109375); // 2 (1 + 10 + 45) / 2^10
    expect(mcnemar(900, 1100)).toBeLessThan(1e-4);
  });

  const scored = (rows: string, bits: string) =>
    ({ validation_rows: 8, validation_right: { rows, bits } }) as Metrics;

  it("says when a difference may be chance", () => {
    expect(agreement(scored("x", "00"), scored("x", "ff"), NAMES).title).toBe(
      "right is better than left",
    );
    expect(agreement(scored("x", "f0"), scored("x", "3f"), NAMES).title).toContain("chance");
  });

  it("goes back to intervals where the images differ", () => {
    const first = { ...scored("x", "00"), validation_interval: [0.1, 0.2] } as Metrics;
    const second = { ...scored("y", "ff"), validation_interval: [0.3, 0.4] } as Metrics;
    expect(agreement(first, second, NAMES).title).toBe("One is better");
    expect(agreement(scored("x", "00"), scored("y", "ff"), NAMES).title).toContain("cannot");
  });
});
