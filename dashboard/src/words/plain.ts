/** A value of unknown kind as a word; objects are none. */
export const plain = (value: unknown, otherwise = ""): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : otherwise;
