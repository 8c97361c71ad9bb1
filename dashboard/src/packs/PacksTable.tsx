/** The packs of one page: sorted by the service, chosen here. Plain cells, because there are 600. */

import {
  useTable,
  type Header,
  type OnChangeFn,
  type RowSelectionState,
} from "@tanstack/react-table";
import { memo } from "react";

import type { ListedPack } from "../api/shapes";
import { COLUMNS, FEATURES } from "./columns";
import { sorted, sortingOf, type PacksSearch } from "./packsSearch";

interface Props {
  packs: ListedPack[];
  search: PacksSearch;
  onSort: (next: (before: PacksSearch) => PacksSearch) => void;
  selection: RowSelectionState;
  onSelect: OnChangeFn<RowSelectionState>;
}

export const PacksTable = memo(function PacksTable(props: Props) {
  const sorting = sortingOf(props.search);
  const table = useTable({
    features: FEATURES,
    columns: COLUMNS,
    data: props.packs,
    getRowId: (pack) => pack.pack_id,
    state: { sorting, rowSelection: props.selection },
    manualSorting: true,
    enableSortingRemoval: false,
    enableMultiSort: false,
    onSortingChange: (change) => {
      const [next] = typeof change === "function" ? change(sorting) : change;
      if (next) props.onSort((before) => sorted(before, next));
    },
    onRowSelectionChange: props.onSelect,
  });
  const all = table.getIsAllPageRowsSelected();
  return (
    <table className="grid-table" aria-label="Packs">
      <thead>
        <tr>
          <th>
            <input
              type="checkbox"
              aria-label="Choose all of this page"
              checked={all}
              ref={(box) => {
                if (box) box.indeterminate = !all && table.getIsSomePageRowsSelected();
              }}
              onChange={table.getToggleAllPageRowsSelectedHandler()}
            />
          </th>
          {table.getFlatHeaders().map((header) => (
            <Head key={header.id} header={header}>
              <table.FlexRender header={header} />
            </Head>
          ))}
        </tr>
      </thead>
      <tbody>
        {table.getRowModel().rows.map((row) => (
          <tr key={row.id} data-chosen={row.getIsSelected() || undefined}>
            <td>
              <input
                type="checkbox"
                aria-label={`Choose ${row.original.network} on ${row.original.dataset}, ${row.id}`}
                checked={row.getIsSelected()}
                onChange={row.getToggleSelectedHandler()}
              />
            </td>
            {row.getAllCells().map((cell) => (
              <td
                key={cell.id}
                className={cell.column.columnDef.meta?.number ? "number" : undefined}
              >
                <table.FlexRender cell={cell} />
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
});

interface HeadProps {
  header: Header<typeof FEATURES, ListedPack>;
  children: React.ReactNode;
}

function Head({ header, children }: HeadProps) {
  const { column } = header;
  const direction = column.getIsSorted();
  const names = { asc: "ascending", desc: "descending" } as const;
  return (
    <th
      className={column.columnDef.meta?.number ? "number" : undefined}
      aria-sort={direction ? names[direction] : undefined}
    >
      {column.getCanSort() ? (
        <button
          className="sorter"
          data-active={direction || undefined}
          onClick={column.getToggleSortingHandler()}
        >
          {children}
          <span
            aria-hidden="true"
            style={{ width: 9, visibility: direction ? "visible" : "hidden" }}
          >
            {direction === "asc" ? "↑" : "↓"}
          </span>
        </button>
      ) : (
        children
      )}
    </th>
  );
}
