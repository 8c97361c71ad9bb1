/** Who is alive, and what each does. */

import { Stack, Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { overviewQuery } from "../api/calls";
import type { WorkerAtWork } from "../api/shapes";
import { progressInWords } from "../jobs/words";
import { Command } from "../parts/Command";
import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";
import { Moment } from "../parts/Moment";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";

export function WorkersView() {
  const { data, error, isPending, refetch } = useQuery({
    ...overviewQuery,
    refetchInterval: 3_000,
  });
  return (
    <Stack gap="md">
      <Heading title="Workers" under="Processes that compute. Jobs wait while none is alive." />
      {error && <Trouble error={error} again={refetch} />}
      {isPending && <Waiting lines={4} />}
      {data && (data.workers.length ? <WorkerTable workers={data.workers} /> : <NoWorkers />)}
    </Stack>
  );
}

function WorkerTable({ workers }: { workers: WorkerAtWork[] }) {
  return (
    <div className="panel panel-table">
      <Table className="grid-table" aria-label="Workers">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Worker</Table.Th>
            <Table.Th>Device</Table.Th>
            <Table.Th>Machine</Table.Th>
            <Table.Th>Started</Table.Th>
            <Table.Th>Heard of</Table.Th>
            <Table.Th>Does</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {workers.map((worker) => (
            <Table.Tr key={worker.worker}>
              <Table.Td>{worker.worker}</Table.Td>
              <Table.Td>{worker.device}</Table.Td>
              <Table.Td>{worker.machine}</Table.Td>
              <Table.Td>
                <Moment at={worker.started} />
              </Table.Td>
              <Table.Td>
                <Moment at={worker.seen} />
              </Table.Td>
              <Table.Td>
                {worker.jobs.length === 0 &&
                  (worker.busy ? "busy with another team's work" : "waits for work")}
                {worker.jobs.map((job) => (
                  <div key={job.id}>
                    <Link to="/jobs/$jobId" params={{ jobId: job.id }}>
                      {job.kind}
                    </Link>{" "}
                    {progressInWords(job.progress)}
                  </div>
                ))}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function NoWorkers() {
  return (
    <Empty title="No worker is alive">
      <Stack gap="sm">
        <span>Jobs wait until one is. Start one on any machine that reaches the store:</span>
        <Command name="Start a worker" code="featurepack worker" />
      </Stack>
    </Empty>
  );
}
