import { describe, expect, it } from "vitest";

import type { Job } from "../api/shapes";
import { errorInWords, limitInWords, progressInWords, share, tookSeconds } from "./words";

describe("jobs in words", () => {
  it("says what is known of the progress, and no more", () => {
    const progress = {
      phase: "extracting",
      rows_done: 1200,
      rows_total: 5000,
      images_per_second: 350.4,
      seconds_left: 10.8,
    };
    expect(progressInWords(progress)).toBe(
      "extracting · 1,200 of 5,000 rows · 350 images/s · 11 s left",
    );
    expect(progressInWords({ phase: "reading images", rows_done: 17 })).toBe(
      "reading images · 17 rows",
    );
    expect(progressInWords({})).toBe("");
    expect(share(progress)).toBeCloseTo(0.24);
    expect(share({ rows_done: 3 })).toBeNull();
  });

  it("says what limits, only if it is known", () => {
    expect(limitInWords({ limited_by: "decode" })).toContain("cores");
    expect(limitInWords({ limited_by: null })).toBe("not known yet");
  });

  it("keeps an error's words", () => {
    expect(errorInWords({ message: "the disk is full", remedy: "free space" })).toEqual({
      detail: "the disk is full",
      remedy: "free space",
    });
    expect(errorInWords(null)).toBeNull();
  });

  it("counts seconds to the end, or to now", () => {
    const started = "2026-01-01T00:00:00Z";
    const now = Date.parse("2026-01-01T00:01:00Z");
    expect(tookSeconds({ started, finished: "2026-01-01T00:00:07Z" } as Job, now)).toBe(7);
    expect(tookSeconds({ started, finished: null } as Job, now)).toBe(60);
    expect(tookSeconds({ started: null } as Job, now)).toBeNull();
  });
});
