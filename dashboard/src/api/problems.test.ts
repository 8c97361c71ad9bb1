import { describe, expect, it } from "vitest";

import { asProblem, problemOf, unreachable } from "./problems";

describe("problems in words", () => {
  it("keeps the service's own words", () => {
    const problem = problemOf(404, { detail: "no pack x", remedy: "list them" }, null);
    expect([problem.detail, problem.remedy]).toEqual(["no pack x", "list them"]);
    expect(problem.passes).toBe(false);
  });

  it("has words of its own where an answer has none", () => {
    for (const status of [401, 403, 404, 429, 500, 502, 503]) {
      const problem = problemOf(status, undefined, null);
      expect(problem.title.length).toBeGreaterThan(5);
      expect(problem.remedy.length).toBeGreaterThan(5);
    }
  });

  it("knows what passes by itself, and when to ask again", () => {
    expect(problemOf(429, {}, "3").retryAfterSeconds).toBe(3);
    expect(problemOf(429, {}, null).passes).toBe(true);
    expect(problemOf(503, {}, "soon").retryAfterSeconds).toBeNull();
    expect(unreachable().unreachable).toBe(true);
    expect(problemOf(502, undefined, null).unreachable).toBe(true);
    expect(problemOf(503, {}, null).unreachable).toBe(false);
  });

  it("calls anything else the page's own mistake", () => {
    expect(asProblem(new TypeError("x is undefined")).passes).toBe(false);
  });
});
