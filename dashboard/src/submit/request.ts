/** The form's values → what is sent. */

import type { JobRequest } from "../api/shapes";

export interface Form {
  network: string;
  dataset: string;
  weights: string;
  layer: string;
  pool: "" | "none" | "avg" | "max" | "flatten";
  preset: "official" | "stretch";
  size: string;
  compute: "float32" | "fast";
  stored: "float32" | "float16";
  perClass: string;
  validation: string;
  private: boolean;
}

export const EMPTY: Form = {
  network: "",
  dataset: "",
  weights: "default",
  layer: "",
  pool: "",
  preset: "official",
  size: "",
  compute: "float32",
  stored: "float32",
  perClass: "",
  validation: "",
  private: false,
};

/** None as long as a network or a dataset is missing. */
export function requestOf(form: Form): JobRequest | null {
  if (!form.network || !form.dataset) return null;
  const size = positive(form.size);
  const perClass = positive(form.perClass);
  const share = positive(form.validation);
  return {
    network: form.network,
    dataset: form.dataset,
    weights: form.weights || "default",
    ...(form.layer || form.pool
      ? { tap: { layer: form.layer || null, pool: form.pool || null } }
      : {}),
    transform: { preset: form.preset, ...(size ? { size: Math.round(size) } : {}) },
    numerics: { compute: form.compute, stored: form.stored },
    ...(form.private ? { private: true } : {}),
    ...(perClass || share
      ? {
          view: {
            seed: 0,
            ...(perClass ? { per_class: Math.round(perClass) } : {}),
            ...(share ? { validation: share / 100 } : {}),
          },
        }
      : {}),
  } as JobRequest;
}

function positive(text: string): number | null {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) && value > 0 ? value : null;
}

/** A name that a dataset may have, from a file's: "My birds (2).tar.gz" → "My-birds-2" */
export function datasetName(file: string): string {
  const bare = file.replace(/\.(zip|tar|tgz|tar\.gz|npz|h5|pkl|pickle|p)$/i, "");
  return (
    bare
      .replace(/[^\w.-]+/g, "-")
      .replace(/^[^\w]+|[-.]+$/g, "")
      .slice(0, 100) || "images"
  );
}
