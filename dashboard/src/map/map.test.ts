import { describe, expect, it } from "vitest";

import { moved, toPixel, toPlace, WHOLE, zoomed, type Size } from "./camera";
import { isInside, Lookup } from "./lookup";
import { pointsOf, rightOf } from "./points";

const SIZE: Size = { width: 800, height: 500, reach: [1, 1] };

function buffer(points: [x: number, y: number, row: number, label: number][]): ArrayBuffer {
  const found = new ArrayBuffer(16 * points.length);
  const view = new DataView(found);
  points.forEach(([x, y, row, label], index) => {
    view.setFloat32(16 * index, x, true);
    view.setFloat32(16 * index + 4, y, true);
    view.setUint32(16 * index + 8, row, true);
    view.setInt32(16 * index + 12, label, true);
  });
  return found;
}

describe("points", () => {
  it("fill the longer side from −1 to 1 and keep their proportions", () => {
    const points = pointsOf(
      buffer([
        [0, 5, 7, 2],
        [40, 15, 9, -1],
      ]),
    );
    expect([...points.places]).toEqual([-1, -0.25, 1, 0.25]);
    expect([...points.rows]).toEqual([7, 9]);
    expect([...points.labels]).toEqual([2, -1]);
    expect(points.reach).toEqual([1, 0.25]);
  });

  it("may all lie in one place, or not be there", () => {
    expect([...pointsOf(buffer([[3, 3, 0, 0]])).places]).toEqual([0, 0]);
    expect(pointsOf(new ArrayBuffer(0)).count).toBe(0);
  });

  it("are right or wrong by bits, the first one highest", () => {
    const right = [100, 101, 107, 108, 109].map((row) => rightOf("8140", row, 100));
    expect(right).toEqual([true, false, true, false, true]);
  });
});

describe("camera", () => {
  it("goes to pixels and back", () => {
    const camera = { x: 0.3, y: -0.2, zoom: 3 };
    const [left, top] = toPixel(camera, SIZE, 0.11, 0.42);
    const [x, y] = toPlace(camera, SIZE, left, top);
    expect(x).toBeCloseTo(0.11);
    expect(y).toBeCloseTo(0.42);
  });

  it("keeps what lies under the pointer", () => {
    const before = toPlace(WHOLE, SIZE, 120, 70);
    const after = toPlace(zoomed(WHOLE, SIZE, 2.5, 120, 70), SIZE, 120, 70);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
  });

  it("shows all points of a wide map as large as they fit", () => {
    const wide: Size = { width: 800, height: 500, reach: [1, 0.4] };
    expect(toPixel(WHOLE, wide, 1, 0)[0]).toBeCloseTo(400 + 0.94 * 400);
    expect(toPixel(WHOLE, { ...wide, reach: [0.4, 1] }, 0, 1)[1]).toBeCloseTo(250 - 0.94 * 250);
  });

  it("moves with the hand", () => {
    const [left, top] = toPixel(moved(WHOLE, SIZE, 30, -12), SIZE, 0, 0);
    expect(left).toBeCloseTo(430);
    expect(top).toBeCloseTo(238);
  });
});

describe("lookup", () => {
  const random = randomPlaces(5_000);
  const lookup = new Lookup(random);

  it("finds the nearest point as looking at all of them does", () => {
    for (let trial = 0; trial < 200; trial++) {
      const [x, y] = [Math.sin(trial) * 0.99, Math.cos(1.7 * trial) * 0.99];
      expect(lookup.nearest(x, y, 0.05)).toBe(nearestOfAll(random, x, y, 0.05));
    }
    expect(lookup.nearest(0, 5, 0.01)).toBe(-1);
  });

  it("finds what a lasso encloses, corners that turn inwards too", () => {
    const line = [-0.5, -0.5, 0.5, -0.5, 0.5, 0.5, 0, 0, -0.5, 0.5];
    const expected = Array.from({ length: 5_000 }, (_, point) => point).filter((point) =>
      isInside(line, random[2 * point]!, random[2 * point + 1]!),
    );
    expect(lookup.inside(line)).toEqual(expected);
    expect(expected.length).toBeGreaterThan(500);
    expect(isInside(line, 0, 0.3)).toBe(false);
    expect(isInside(line, 0, -0.3)).toBe(true);
    expect(lookup.inside([0, 0, 1, 1])).toEqual([]);
  });

  it("finds points on the rim", () => {
    expect(new Lookup(new Float32Array([-1, -1, 1, 1])).nearest(1, 1, 0.01)).toBe(1);
  });
});

function randomPlaces(count: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: 2 * count }, () => {
    state = (state * 48271) % 2147483647;
    return (2 * state) / 2147483647 - 1;
  });
}

function nearestOfAll(places: Float32Array, x: number, y: number, within: number): number {
  let [best, least] = [-1, within * within];
  for (let point = 0; point < places.length / 2; point++) {
    const distance = (places[2 * point]! - x) ** 2 + (places[2 * point + 1]! - y) ** 2;
    if (distance <= least) [best, least] = [point, distance];
  }
  return best;
}
