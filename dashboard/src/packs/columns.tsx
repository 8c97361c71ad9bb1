/** The columns of the packs' table; one with an accessor is sorted by the service, by its id. */

import {
  createColumnHelper,
  rowSelectionFeature,
  rowSortingFeature,
  tableFeatures,
} from "@tanstack/react-table";
import { Link } from "@tanstack/react-router";

import type { ListedPack, PackBrief } from "../api/shapes";
import { Moment } from "../parts/Moment";
import { PrivateMark } from "../parts/Private";
import { bytes, count, percent, shape } from "../words/numbers";
import { splitSizes, tapName, viewInWords } from "../words/recipe";

interface Meta {
  /** Right-aligned. */
  number?: boolean;
}

const META: Meta = {};

export const FEATURES = tableFeatures({
  rowSelectionFeature,
  rowSortingFeature,
  columnMeta: META,
});

const column = createColumnHelper<typeof FEATURES, ListedPack>();

const NAMES = { sortDescFirst: false };
const LARGEST = { sortDescFirst: true };
const NUMBER = { ...LARGEST, meta: { number: true } };

export const COLUMNS = column.columns([
  column.accessor("network", {
    header: "Network",
    ...NAMES,
    cell: ({ row }) => <Name pack={row.original} />,
  }),
  column.display({ id: "tap", header: "Tap", cell: ({ row }) => tapName(row.original) }),
  column.accessor("dataset", {
    header: "Dataset",
    ...NAMES,
    cell: ({ row }) => <DatasetCell pack={row.original} />,
  }),
  column.accessor("rows", {
    header: "Rows",
    ...LARGEST,
    cell: ({ row }) => <Splits pack={row.original} />,
  }),
  column.display({
    id: "shape",
    header: "Shape",
    cell: ({ row }) => shape(row.original.row_shape),
  }),
  column.accessor("bytes", {
    header: "Size",
    ...NUMBER,
    cell: ({ getValue }) => bytes(getValue()),
  }),
  column.accessor("created", {
    header: "Age",
    ...LARGEST,
    cell: ({ getValue }) => <Moment at={getValue()} bare />,
  }),
  column.accessor("last_used", {
    header: "Last used",
    ...LARGEST,
    cell: ({ getValue }) => <Moment at={getValue()} bare />,
  }),
  column.accessor("hits", {
    header: "Hits",
    ...NUMBER,
    cell: ({ getValue }) => count(getValue()),
  }),
  column.accessor((pack) => pack.best_head?.accuracy, {
    id: "accuracy",
    header: "Best head",
    ...NUMBER,
    cell: ({ row }) => <Best pack={row.original} />,
  }),
  column.display({
    id: "health",
    header: "Health",
    cell: ({ row }) => <Health pack={row.original} />,
  }),
]);

function Name({ pack }: { pack: ListedPack }) {
  return (
    <>
      <Link to="/packs/$packId" params={{ packId: pack.pack_id }} title={pack.pack_id}>
        {pack.network}
      </Link>
      <PrivateMark of={pack} />
      {pack.pinned && (
        <span className="mark" title="Pinned: never evicted">
          pinned
        </span>
      )}
    </>
  );
}

function DatasetCell({ pack }: { pack: ListedPack }) {
  const view = viewInWords(pack.view);
  if (!view) return pack.dataset;
  return (
    <span title={view}>
      {pack.dataset} <span className="dim">· part</span>
    </span>
  );
}

function Splits({ pack }: { pack: ListedPack }) {
  return splitSizes(pack.splits).map(([name, rows], index) => (
    <span key={name}>
      {index > 0 && " · "}
      <span className="dim">{name}</span> {count(rows)}
    </span>
  ));
}

function Best({ pack }: { pack: ListedPack }) {
  const best = pack.best_head;
  if (!best) return <span className="dim">none yet</span>;
  return (
    <Link to="/heads/$headId" params={{ headId: best.head_id }} title={`by ${best.method}`}>
      {percent(best.accuracy)}
    </Link>
  );
}

export function Health({ pack }: { pack: PackBrief }) {
  if (pack.problem) return <span className="bad">✕ damaged</span>;
  if (pack.rows_invalid)
    return <span className="warn">△ {count(pack.rows_invalid)} images undecodable</span>;
  return <span className="good">✓ sound</span>;
}
