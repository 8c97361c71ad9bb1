/** The packs of one page: sorted on the server, chosen here. */

import { Checkbox, Table } from "@mantine/core";
import { memo } from "react";

import type { ListedPack } from "../api/shapes";
import { COLUMNS } from "./columns";
import type { PacksSearch, Sort } from "./packsSearch";
import { toggled, toggledAll, type Selection } from "./selection";

interface Props {
  packs: ListedPack[];
  search: PacksSearch;
  onSort: (sort: Sort) => void;
  selection: Selection;
  onSelect: (selection: Selection) => void;
}

export const PacksTable = memo(function PacksTable(props: Props) {
  const { packs, selection, onSelect } = props;
  const ids = packs.map((pack) => pack.pack_id);
  const chosen = ids.filter((id) => selection.chosen.has(id)).length;
  return (
    <Table className="grid-table" highlightOnHover aria-label="Packs">
      <Table.Thead>
        <Table.Tr>
          <Table.Th w={36}>
            <Checkbox
              size="xs"
              aria-label="Choose all of this page"
              checked={chosen > 0 && chosen === ids.length}
              indeterminate={chosen > 0 && chosen < ids.length}
              onChange={() => onSelect(toggledAll(selection, ids))}
            />
          </Table.Th>
          <Heads search={props.search} onSort={props.onSort} />
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {packs.map((pack) => (
          <Table.Tr key={pack.pack_id} bg={selection.chosen.has(pack.pack_id) ? CHOSEN : undefined}>
            <Table.Td>
              <Checkbox
                size="xs"
                aria-label={`Choose ${pack.network} on ${pack.dataset}, ${pack.pack_id}`}
                checked={selection.chosen.has(pack.pack_id)}
                onChange={({ nativeEvent }) => {
                  const range = (nativeEvent as unknown as MouseEvent).shiftKey;
                  onSelect(toggled(selection, pack.pack_id, ids, range));
                }}
              />
            </Table.Td>
            {COLUMNS.map((column) => (
              <Table.Td key={column.name} className={column.number ? "number" : undefined}>
                {column.cell(pack)}
              </Table.Td>
            ))}
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
});

const CHOSEN = "color-mix(in srgb, var(--page-accent) 9%, transparent)";

function Heads({ search, onSort }: Pick<Props, "search" | "onSort">) {
  const sorted = search.sort ?? "created";
  return COLUMNS.map(({ name, sort, number }) => {
    const active = sort === sorted;
    const direction = search.order === "asc" ? "ascending" : "descending";
    return (
      <Table.Th
        key={name}
        className={number ? "number" : undefined}
        aria-sort={active ? direction : undefined}
      >
        {sort ? (
          <button className="sorter" data-active={active || undefined} onClick={() => onSort(sort)}>
            {name}
            <span
              aria-hidden="true"
              style={{ width: 9, visibility: active ? "visible" : "hidden" }}
            >
              {direction === "ascending" ? "↑" : "↓"}
            </span>
          </button>
        ) : (
          name
        )}
      </Table.Th>
    );
  });
}
