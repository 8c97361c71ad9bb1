/** What the features are worth: the labs' table, and all heads to choose two of. */

import { Button, Checkbox, Select, Stack, Table, VisuallyHidden, Group } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { bestPacksQuery, headsQuery } from "../api/calls";
import type { Head, ListedPack } from "../api/shapes";
import { Command } from "../parts/Command";
import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";
import { LinkButton } from "../parts/LinkButton";
import { Moment } from "../parts/Moment";
import { Panel } from "../parts/Panel";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { count, duration, percent } from "../words/numbers";
import { packInWords } from "../words/recipe";
import { gridOf } from "./grid";
import { HeatMap } from "./HeatMap";
import { METHODS } from "./methods";

export function HeadsView() {
  const { method } = useSearch({ from: "/heads" });
  const navigate = useNavigate({ from: "/heads" });
  const packs = useQuery(bestPacksQuery);
  const heads = useInfiniteQuery(headsQuery());
  const grid = useMemo(() => gridOf(packs.data?.items ?? []), [packs.data]);
  const byId = useMemo(
    () => new Map(packs.data?.items.map((pack) => [pack.pack_id, pack])),
    [packs.data],
  );
  const items = heads.data?.pages.flatMap((page) => page.items) ?? [];
  // All at once: what comes first would be pushed down by the other.
  const waiting = heads.isPending || packs.isPending;
  const shown = method ? items.filter((head) => head.method === method) : items;
  return (
    <Stack gap="md">
      <Heading title="Heads" under="Small classifiers on packs: what the features are worth." />
      {packs.isError && <Trouble error={packs.error} again={packs.refetch} />}
      {!waiting && grid.networks.length > 0 && (
        <Panel title="Best validation accuracy">
          <HeatMap grid={grid} />
        </Panel>
      )}
      {heads.isError && <Trouble error={heads.error} again={heads.refetch} />}
      {waiting && <Waiting lines={10} />}
      {!waiting && heads.data && !items.length && <NoHeads />}
      {!waiting && items.length > 0 && (
        <HeadTable heads={shown} packs={byId}>
          <Select
            aria-label="Method"
            size="xs"
            w={190}
            placeholder="Any method"
            data={METHODS}
            value={method ?? null}
            onChange={(chosen) =>
              void navigate({ search: { method: chosen ?? undefined }, replace: true })
            }
            clearable
          />
        </HeadTable>
      )}
      {heads.hasNextPage && (
        <Button
          variant="default"
          loading={heads.isFetchingNextPage}
          onClick={() => void heads.fetchNextPage()}
        >
          Older heads
        </Button>
      )}
    </Stack>
  );
}

interface TableProps {
  heads: Head[];
  packs: Map<string, ListedPack>;
  children: React.ReactNode;
}

function HeadTable({ heads, packs, children }: TableProps) {
  const [chosen, setChosen] = useState<string[]>([]);
  const toggle = (id: string) =>
    setChosen((before) =>
      before.includes(id) ? before.filter((one) => one !== id) : [...before, id].slice(-2),
    );
  const [left, right] = chosen;
  return (
    <Panel
      title="All heads"
      beside={
        <Group gap="xs">
          {children}
          <LinkButton to="/compare" search={{ left, right }} disabled={!right}>
            {right ? "Compare the two" : "Choose two to compare"}
          </LinkButton>
        </Group>
      }
    >
      <div style={{ overflow: "auto" }}>
        <Table className="grid-table" highlightOnHover aria-label="Heads">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>
                <VisuallyHidden>Compare</VisuallyHidden>
              </Table.Th>
              <Table.Th>Head</Table.Th>
              <Table.Th>Pack</Table.Th>
              <Table.Th className="number">Validation</Table.Th>
              <Table.Th className="number">95 % interval</Table.Th>
              <Table.Th className="number">Train</Table.Th>
              <Table.Th className="number">Rows</Table.Th>
              <Table.Th className="number">Took</Table.Th>
              <Table.Th>Age</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {heads.map((head) => (
              <Row
                key={head.head_id}
                head={head}
                pack={packs.get(head.pack_id)}
                chosen={chosen.includes(head.head_id)}
                toggle={toggle}
              />
            ))}
          </Table.Tbody>
        </Table>
      </div>
    </Panel>
  );
}

interface RowProps {
  head: Head;
  pack: ListedPack | undefined;
  chosen: boolean;
  toggle: (headId: string) => void;
}

function Row({ head, pack, chosen, toggle }: RowProps) {
  const metrics = head.metrics;
  const name = packInWords(pack, head.pack_id);
  return (
    <Table.Tr>
      <Table.Td>
        <Checkbox
          size="xs"
          aria-label={`Compare ${head.method} of ${name}, ${head.head_id}`}
          checked={chosen}
          onChange={() => toggle(head.head_id)}
        />
      </Table.Td>
      <Table.Td>
        <Link to="/heads/$headId" params={{ headId: head.head_id }}>
          {head.method}
        </Link>
      </Table.Td>
      <Table.Td>
        <Link to="/packs/$packId" params={{ packId: head.pack_id }} title={head.pack_id}>
          {name}
        </Link>
      </Table.Td>
      <Table.Td className="number">{percent(metrics.validation_accuracy)}</Table.Td>
      <Table.Td className="number">
        {metrics.validation_interval
          ? `${metrics.validation_interval.map((end) => (100 * end).toFixed(1)).join(" to ")} %`
          : "–"}
      </Table.Td>
      <Table.Td className="number">{percent(metrics.train_accuracy)}</Table.Td>
      <Table.Td className="number">{count(metrics.train_rows)}</Table.Td>
      <Table.Td className="number">{duration(metrics.seconds)}</Table.Td>
      <Table.Td>
        <Moment at={head.created} bare />
      </Table.Td>
    </Table.Tr>
  );
}

function NoHeads() {
  return (
    <Empty title="No head is trained yet">
      <Stack gap="sm">
        <span>
          Open{" "}
          <Link to="/" className="link">
            a pack
          </Link>{" "}
          and train one, or in a shell:
        </span>
        <Command name="Train a head" code="featurepack train PACK_ID --method linear" />
      </Stack>
    </Empty>
  );
}
