import { describe, expect, it } from "vitest";

import { parsed, tints } from "./tinting";

const points = {
  count: 3,
  places: new Float32Array(6),
  rows: new Uint32Array([0, 10, 11]),
  labels: new Int32Array([0, 0, 1]),
  reach: [1, 1] as [number, number],
};

const colour = (tint: Uint8Array, point: number) => tint.slice(4 * point, 4 * point + 3).join();
const opacity = (tint: Uint8Array) => [tint[3], tint[7], tint[11]];

describe("colours of points", () => {
  it("reads both ways to write a colour", () => {
    expect(parsed("#0072b2")).toEqual([0, 114, 178]);
    expect(parsed("hsl(120 100% 50%)")).toEqual([0, 255, 0]);
  });

  it("are one for each class", () => {
    const tint = tints(points, null, null);
    expect(colour(tint, 0)).toBe(colour(tint, 1));
    expect(colour(tint, 0)).not.toBe(colour(tint, 2));
  });

  it("say right and wrong of validation alone", () => {
    const tint = tints(points, { bits: "80", start: 10, stop: 12 }, null);
    expect(new Set([0, 1, 2].map((point) => colour(tint, point))).size).toBe(3);
    expect(opacity(tint)).toEqual([46, 235, 235]);
  });

  it("are faint for what is not chosen", () => {
    expect(opacity(tints(points, null, new Uint8Array([0, 1, 0])))).toEqual([46, 235, 46]);
  });
});
