/** The labs' table: network × dataset, the best head of each. */

import type { BestHead, ListedPack } from "../api/shapes";

export interface Cell extends BestHead {
  pack: ListedPack;
}

export interface Grid {
  networks: string[];
  datasets: string[];
  /** One row for each network; null where no head is scored. */
  cells: (Cell | null)[][];
}

/** Networks and datasets by how good the best of theirs is. */
export function gridOf(packs: ListedPack[]): Grid {
  const best = new Map<string, Cell>();
  for (const pack of packs) {
    if (!pack.best_head) continue;
    const key = keyOf(pack.network, pack.dataset);
    const before = best.get(key);
    if (!before || before.accuracy < pack.best_head.accuracy)
      best.set(key, { ...pack.best_head, pack });
  }
  const cells = [...best.values()].sort((a, b) => b.accuracy - a.accuracy);
  const networks = [...new Set(cells.map((cell) => cell.pack.network))];
  const datasets = [...new Set(cells.map((cell) => cell.pack.dataset))].sort();
  return {
    networks,
    datasets,
    cells: networks.map((network) =>
      datasets.map((dataset) => best.get(keyOf(network, dataset)) ?? null),
    ),
  };
}

const keyOf = (network: string, dataset: string) => JSON.stringify([network, dataset]);

export interface Confused {
  label: number;
  predicted: number;
  times: number;
}

/** Which classes are taken for which, most often first. */
export function mostConfused(confusion: number[][], shown = 8): Confused[] {
  const found: Confused[] = [];
  confusion.forEach((row, label) =>
    row.forEach((times, predicted) => {
      if (times && label !== predicted) found.push({ label, predicted, times });
    }),
  );
  return found.sort((a, b) => b.times - a.times).slice(0, shown);
}
