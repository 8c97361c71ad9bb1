/** Lines that load a pack, ready to be copied. */

import type { Pack } from "../api/shapes";

export interface Snippet {
  name: string;
  code: string;
}

export function snippets(pack: Pack, origin: string): Snippet[] {
  const id = pack.pack_id;
  const split = Object.keys(pack.splits)[0] ?? "train";
  return [
    {
      name: "curl",
      code:
        `curl ${origin}/v1/packs/${id}/file -o ${id}.h5\n` +
        `curl "${origin}/v1/packs/${id}/features?split=${split}&format=npy" -o ${split}.npy`,
    },
    {
      name: "Python",
      code:
        `from featurepack import Client\n\n` +
        `with Client("${origin}") as client:\n` +
        `    X = client.pack_features("${id}", "${split}")\n` +
        `    y = client.labels("${id}", "${split}")`,
    },
    {
      name: "torch",
      code:
        `import torch\n` +
        `from featurepack import Client\n` +
        `from torch.utils.data import DataLoader, TensorDataset\n\n` +
        `with Client("${origin}") as client:\n` +
        `    X = torch.tensor(client.pack_features("${id}", "${split}"))\n` +
        `    y = torch.tensor(client.labels("${id}", "${split}"))\n` +
        `loader = DataLoader(TensorDataset(X, y), batch_size=256, shuffle=True)`,
    },
    { name: "h5py", code: `import h5py\n\nfeatures = h5py.File("${id}.h5")["features"]` },
  ];
}
