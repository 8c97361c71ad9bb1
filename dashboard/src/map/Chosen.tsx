/** The rows that were clicked or enclosed: their images, and their ids to take along. */

import { Button, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import type { Pack } from "../api/shapes";
import { Command } from "../parts/Command";
import { Thumbnail } from "../parts/Thumbnail";
import { Trouble } from "../parts/Trouble";
import { count } from "../words/numbers";
import type { Points } from "./points";
import { indexQuery } from "./query";

const PICTURED = 24;
const LISTED = 400;

interface Props {
  pack: Pack;
  points: Points;
  chosen: number[];
  onNone: () => void;
}

export function Chosen({ pack, points, chosen, onNone }: Props) {
  const rows = chosen.map((point) => points.rows[point]!).sort((a, b) => a - b);
  const index = useQuery(indexQuery(pack.pack_id, rows[0]!, rows.at(-1)! + 1));
  const known = index.data ?? new Map<number, string>();
  const ids = rows.flatMap((row) => known.get(row) ?? []);
  const more = rows.length - LISTED;
  return (
    <div>
      <Group justify="space-between" my="xs">
        <Text size="sm" aria-live="polite">
          {rows.length === 1 ? "1 row" : `${count(rows.length)} rows`} chosen
        </Text>
        <Button variant="subtle" color="gray" onClick={onNone}>
          Choose none
        </Button>
      </Group>
      <Group gap={4} mb="xs">
        {rows.slice(0, PICTURED).map((row) => (
          <Thumbnail
            key={row}
            packId={pack.pack_id}
            row={row}
            side={40}
            label={known.get(row) ?? `Row ${row}`}
          />
        ))}
      </Group>
      {index.isError && <Trouble error={index.error} again={index.refetch} />}
      <Command
        name="Ids of the rows"
        code={ids.join("\n")}
        shown={
          more > 0
            ? `${ids.slice(0, LISTED).join("\n")}\n… ${count(more)} more; all are copied`
            : undefined
        }
      />
    </div>
  );
}
