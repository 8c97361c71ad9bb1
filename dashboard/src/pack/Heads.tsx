/** A pack's heads, and a button that trains one more. */

import { Button, Group, Select, Table, Text } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { headsQuery, trainHead } from "../api/calls";
import type { Head, Pack } from "../api/shapes";
import { METHODS, type Method } from "../heads/methods";
import { Panel } from "../parts/Panel";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { duration, percent } from "../words/numbers";

export function Heads({ pack }: { pack: Pack }) {
  const heads = useInfiniteQuery(headsQuery(pack.pack_id));
  const items = heads.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Panel title="Its heads">
      {heads.isError && <Trouble error={heads.error} again={heads.refetch} />}
      {heads.isPending ? <Waiting lines={4} /> : <Scores heads={items} />}
      <Train pack={pack} />
    </Panel>
  );
}

function Scores({ heads }: { heads: Head[] }) {
  if (!heads.length)
    return (
      <Text size="sm" c="dimmed" mb="sm">
        None yet. A head is a small classifier on these features; training one mostly takes seconds.
      </Text>
    );
  const best = [...heads].sort(
    (a, b) => (b.metrics.validation_accuracy ?? 0) - (a.metrics.validation_accuracy ?? 0),
  );
  return (
    <Table className="grid-table" mb="sm" aria-label="Heads of this pack">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Method</Table.Th>
          <Table.Th className="number">Validation</Table.Th>
          <Table.Th className="number">Train</Table.Th>
          <Table.Th className="number">Took</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {best.map((head) => (
          <Table.Tr key={head.head_id}>
            <Table.Td>
              <Link to="/heads/$headId" params={{ headId: head.head_id }}>
                {head.method}
              </Link>
            </Table.Td>
            <Table.Td className="number">{percent(head.metrics.validation_accuracy)}</Table.Td>
            <Table.Td className="number">{percent(head.metrics.train_accuracy)}</Table.Td>
            <Table.Td className="number">{duration(head.metrics.seconds)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Train({ pack }: { pack: Pack }) {
  const [method, setMethod] = useState<Method>("linear");
  const client = useQueryClient();
  const navigate = useNavigate();
  const validation = "validation" in pack.splits ? "validation" : null;
  const train = useMutation({
    mutationFn: () => trainHead(pack.pack_id, method, validation),
    onSuccess: (answer) => {
      void client.invalidateQueries({ queryKey: ["heads"] });
      if (answer.object === "head")
        void navigate({ to: "/heads/$headId", params: { headId: answer.head_id } });
      else void navigate({ to: "/jobs/$jobId", params: { jobId: answer.id } });
    },
  });
  return (
    <>
      <Group gap="xs">
        <Select
          aria-label="Method"
          size="xs"
          w={210}
          data={METHODS}
          value={method}
          onChange={(chosen) => chosen && setMethod(chosen)}
        />
        <Button loading={train.isPending} onClick={() => train.mutate()}>
          Train a head
        </Button>
      </Group>
      {!validation && (
        <Text size="xs" c="dimmed" mt={6}>
          This pack has no split named validation, so a head of it gets no score. Submit the pair
          with a part of train moved to validation.
        </Text>
      )}
      {train.isError && <Trouble error={train.error} />}
    </>
  );
}
