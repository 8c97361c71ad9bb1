import { describe, expect, it } from "vitest";

import { placed } from "./events";
import type { Job } from "./shapes";

const job = (id: string, state: Job["state"]) => ({ id, state }) as Job;
const ids = (pages: { items: Job[] }[]) => pages.map((page) => page.items.map((one) => one.id));

describe("a list of jobs that is told of changes", () => {
  const pages = [
    { items: [job("c", "queued"), job("b", "running")] },
    { items: [job("a", "failed")] },
  ];

  it("puts a new job first and changes a known one where it stands", () => {
    expect(ids(placed(pages, job("d", "queued"), true))).toEqual([["d", "c", "b"], ["a"]]);
    const after = placed(pages, job("b", "succeeded"), true);
    expect(ids(after)).toEqual(ids(pages));
    expect(after[0]!.items[1]!.state).toBe("succeeded");
  });

  it("drops what no longer belongs to it, and takes in nothing foreign", () => {
    expect(ids(placed(pages, job("b", "succeeded"), false))).toEqual([["c"], ["a"]]);
    expect(ids(placed(pages, job("x", "failed"), false))).toEqual(ids(pages));
  });
});
