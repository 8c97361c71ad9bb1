import { describe, expect, it } from "vitest";

import type { ListedPack } from "../api/shapes";
import { gridOf, mostConfused } from "./grid";

const pack = (network: string, dataset: string, accuracy: number | null) =>
  ({
    network,
    dataset,
    best_head:
      accuracy === null ? null : { head_id: `${network}-${accuracy}`, method: "linear", accuracy },
  }) as ListedPack;

describe("the labs' table", () => {
  it("has the best head of each pair, the best network first", () => {
    const grid = gridOf([
      pack("vgg16", "digits", 0.8),
      pack("vgg16", "digits", 0.9),
      pack("resnet18", "cars", 0.95),
      pack("alexnet", "cars", null),
    ]);
    expect(grid.networks).toEqual(["resnet18", "vgg16"]);
    expect(grid.datasets).toEqual(["cars", "digits"]);
    expect(grid.cells.map((row) => row.map((cell) => cell?.accuracy ?? null))).toEqual([
      [0.95, null],
      [null, 0.9],
    ]);
  });

  it("is empty without heads", () => {
    expect(gridOf([pack("alexnet", "cars", null)]).networks).toEqual([]);
  });

  it("says what is taken for what, most often first", () => {
    expect(
      mostConfused([
        [5, 2],
        [7, 9],
      ]),
    ).toEqual([
      { label: 1, predicted: 0, times: 7 },
      { label: 0, predicted: 1, times: 2 },
    ]);
  });
});
