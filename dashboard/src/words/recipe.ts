/** A recipe in words. Its JSON has the values. */

import type { Pack, PackBrief } from "../api/shapes";

interface Recipe {
  network: string;
  weights: string;
  tap: { layer: string; pool: string };
  transform: {
    resize: string;
    size: number[];
    crop: number[] | null;
    interpolation: string;
    antialias: boolean;
    resample: string;
    mean: number[];
    std: number[];
    channels: string;
  };
  numerics: { compute: string; stored: string };
  pixel_path: number;
}

/** None for packs that were imported: nobody knows how they were made. */
export function recipeOf(pack: Pack): Recipe | null {
  return "tap" in pack.recipe ? (pack.recipe as unknown as Recipe) : null;
}

/** "resnet50 on birds"; its id while the pack is not known. */
export const packInWords = (pack: PackBrief | undefined, packId: string): string =>
  pack ? `${pack.network} on ${pack.dataset}` : packId;

/** "features:avg", "classifier.5" */
export const tapName = (pack: PackBrief): string => pack.tap?.replace(/:none$/, "") ?? "imported";

const POOLS: Record<string, string> = {
  none: "as it is",
  avg: "averaged over its positions",
  max: "the largest over its positions",
  flatten: "flattened",
};

export function recipeInWords(pack: Pack): string {
  const recipe = recipeOf(pack);
  if (!recipe)
    return `These features of ${pack.dataset} were imported from files; how they were made is not known.`;
  const { transform, tap, numerics } = recipe;
  const size = transform.size.join(" × ");
  const resized =
    transform.resize === "stretch"
      ? `stretched to ${size} pixels`
      : `resized until the shorter side has ${size} pixels`;
  const cropped = transform.crop ? `, cropped to the middle ${transform.crop.join(" × ")}` : "";
  const arithmetic =
    numerics.compute === "float32"
      ? "in float32"
      : "in fast 16-bit arithmetic (see the certificate)";
  return (
    `Each image of ${pack.dataset} is ${resized}${cropped} (${transform.interpolation}` +
    `${transform.antialias ? ", antialiased" : ", not antialiased"}), normalised, and sent through ` +
    `${recipe.network} with ${weightsInWords(recipe.weights)}. A row is the output of ${tap.layer}, ` +
    `${POOLS[tap.pool] ?? tap.pool}, computed ${arithmetic} and stored as ${numerics.stored}.`
  );
}

export function weightsInWords(weights: string): string {
  if (weights.startsWith("random:")) return `random weights (seed ${weights.slice(7)})`;
  if (/^(sha256:)?[0-9a-f]{64}$/.test(weights))
    return `weights ${weights.replace("sha256:", "").slice(0, 12)}…`;
  return `weights ${weights}`;
}

/** "train 1,437 · validation 360" */
export function splitSizes(splits: Record<string, number[]>): [name: string, rows: number][] {
  return Object.entries(splits).map(([name, [start, stop]]) => [name, (stop ?? 0) - (start ?? 0)]);
}

interface View {
  per_class?: number | null;
  limit?: number | null;
  validation?: number | null;
  seed?: number;
}

/** Which part of its dataset a pack has; null for all of it. */
export function viewInWords(given: PackBrief["view"]): string | null {
  if (!given) return null;
  const view = given as View;
  const parts = [
    view.per_class != null && `${view.per_class} images a class`,
    view.limit != null && `at most ${view.limit} of each split`,
    view.validation != null &&
      `${Math.round(100 * view.validation)} % of train moved to validation`,
  ].filter((part) => part !== false);
  return parts.length ? `${parts.join(", ")} (seed ${view.seed ?? 0})` : null;
}
