import { describe, expect, it } from "vitest";

import { ago, bytes, count, digits, duration, percent, shape, short } from "./numbers";

describe("numbers as people read them", () => {
  it.each([
    [count(1797), "1,797"],
    [short(3504872), "3.50 M"],
    [short(999), "999"],
    [bytes(0), "0 B"],
    [bytes(999), "999 B"],
    [bytes(433792), "434 kB"],
    [bytes(80e9), "80 GB"],
    [digits(0.12345), "0.123"],
    [digits(12.345), "12.3"],
    [digits(4.2e-7), "4.2 × 10⁻⁷"],
    [digits(1904.4), "1,904"],
    [digits(2.5e6), "2.5 × 10⁶"],
    [percent(0.8195), "82.0 %"],
    [duration(0), "0 s"],
    [duration(0.0042), "4 ms"],
    [duration(7.04), "7.0 s"],
    [duration(59.7), "1 min"],
    [duration(3725), "1 h 2 min"],
    [duration(90000), "1 d 1 h"],
    [shape([2048]), "2,048"],
    [shape([512, 7, 7]), "512 × 7 × 7"],
  ])("%s", (got, wanted) => expect(got).toBe(wanted));

  it("says a dash for what is not known", () => {
    for (const word of [count, short, bytes, digits, percent, duration]) {
      expect(word(null)).toBe("–");
      expect(word(undefined)).toBe("–");
    }
    expect(ago(null)).toBe("–");
  });

  it("says how long ago in one unit", () => {
    const now = Date.parse("2026-01-02T00:00:00Z");
    expect(ago("2026-01-01T23:59:58Z", now)).toBe("just now");
    expect(ago("2026-01-01T23:54:30Z", now)).toBe("5 min ago");
    expect(ago("2025-12-30T00:00:00Z", now)).toBe("3 d ago");
  });
});
