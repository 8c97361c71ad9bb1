import { describe, expect, it } from "vitest";

import { datasetName, EMPTY, requestOf } from "./request";

describe("what is sent", () => {
  const form = { ...EMPTY, network: "vgg16", dataset: "digits" };

  it("is nothing without a network and a dataset", () => {
    expect(requestOf(EMPTY)).toBeNull();
    expect(requestOf({ ...EMPTY, network: "vgg16" })).toBeNull();
  });

  it("leaves out what was not set", () => {
    const request = requestOf(form)!;
    expect(request).not.toHaveProperty("tap");
    expect(request).not.toHaveProperty("view");
    expect(request).not.toHaveProperty("private");
    expect(requestOf({ ...form, private: true })!.private).toBe(true);
    expect(request.transform).toEqual({ preset: "official" });
  });

  it("has what was set, a share of validation from percent", () => {
    const request = requestOf({
      ...form,
      layer: "features",
      pool: "avg",
      size: "64",
      validation: "20",
      perClass: "100",
    })!;
    expect(request.tap).toEqual({ layer: "features", pool: "avg" });
    expect(request.transform).toMatchObject({ size: 64 });
    expect(request.view).toMatchObject({ validation: 0.2, per_class: 100 });
  });

  it("takes no nonsense for a number", () => {
    expect(requestOf({ ...form, size: "-3", validation: "x" })).not.toHaveProperty("view");
  });

  it("makes names of files", () => {
    expect(datasetName("My birds (2).tar.gz")).toBe("My-birds-2");
    expect(datasetName("cifar10.zip")).toBe("cifar10");
    expect(datasetName("***.zip")).toBe("images");
  });
});
