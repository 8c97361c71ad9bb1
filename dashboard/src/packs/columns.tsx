/** The columns of the packs' table. */

import { Badge, Group, Text, Tooltip } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import type { ListedPack } from "../api/shapes";
import { Moment } from "../parts/Moment";
import { PrivateMark } from "../parts/Private";
import { bytes, count, percent, shape } from "../words/numbers";
import { splitSizes, tapName, viewInWords } from "../words/recipe";
import type { Sort } from "./packsSearch";

export interface Column {
  name: string;
  sort?: Sort;
  number?: boolean;
  cell: (pack: ListedPack) => ReactNode;
}

export const COLUMNS: Column[] = [
  { name: "Network", sort: "network", cell: (pack) => <Name pack={pack} /> },
  { name: "Tap", cell: (pack) => tapName(pack) },
  { name: "Dataset", sort: "dataset", cell: (pack) => <DatasetCell pack={pack} /> },
  { name: "Rows", sort: "rows", cell: (pack) => <Splits pack={pack} /> },
  { name: "Shape", cell: (pack) => shape(pack.row_shape) },
  { name: "Size", sort: "bytes", number: true, cell: (pack) => bytes(pack.bytes) },
  { name: "Age", sort: "created", cell: (pack) => <Moment at={pack.created} bare /> },
  { name: "Last used", sort: "last_used", cell: (pack) => <Moment at={pack.last_used} bare /> },
  { name: "Hits", sort: "hits", number: true, cell: (pack) => count(pack.hits) },
  { name: "Best head", sort: "accuracy", number: true, cell: (pack) => <Best pack={pack} /> },
  { name: "Health", cell: (pack) => <Health pack={pack} /> },
];

function Name({ pack }: { pack: ListedPack }) {
  return (
    <Group gap={6} wrap="nowrap">
      <Link to="/packs/$packId" params={{ packId: pack.pack_id }} title={pack.pack_id}>
        {pack.network}
      </Link>
      <PrivateMark of={pack} />
      {pack.pinned && (
        <Tooltip label="Pinned: never evicted">
          <Badge size="xs" variant="outline" color="gray">
            pinned
          </Badge>
        </Tooltip>
      )}
    </Group>
  );
}

function DatasetCell({ pack }: { pack: ListedPack }) {
  const view = viewInWords(pack.dataset_info);
  return (
    <Tooltip label={view} disabled={!view}>
      <span>
        {pack.dataset}
        {view && (
          <Text span inherit c="dimmed">
            {" "}
            · part
          </Text>
        )}
      </span>
    </Tooltip>
  );
}

function Splits({ pack }: { pack: ListedPack }) {
  const sizes = splitSizes(pack.splits);
  return (
    <span>
      {sizes.map(([name, rows], index) => (
        <span key={name}>
          {index > 0 && " · "}
          <Text span inherit c="dimmed">
            {name}
          </Text>{" "}
          {count(rows)}
        </span>
      ))}
    </span>
  );
}

function Best({ pack }: { pack: ListedPack }) {
  const best = pack.best_head;
  if (!best)
    return (
      <Text span inherit c="dimmed">
        none yet
      </Text>
    );
  return (
    <Link to="/heads/$headId" params={{ headId: best.head_id }} title={`by ${best.method}`}>
      {percent(best.accuracy)}
    </Link>
  );
}

export function Health({ pack }: { pack: ListedPack }) {
  const damaged = pack.problem !== null;
  const masked = pack.invalid_rows.length;
  if (damaged)
    return (
      <Text span inherit c="var(--page-bad)">
        ✕ damaged
      </Text>
    );
  if (masked)
    return (
      <Text span inherit c="var(--page-warn)">
        △ {count(masked)} images undecodable
      </Text>
    );
  return (
    <Text span inherit c="var(--page-good)">
      ✓ sound
    </Text>
  );
}
