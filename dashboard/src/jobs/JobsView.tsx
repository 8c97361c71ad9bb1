/** What is running, what waits, what has ended. */

import { Button, Group, SegmentedControl, Stack, Table } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";

import { jobsQuery } from "../api/calls";
import { isEnded } from "../api/events";
import type { Job } from "../api/shapes";
import { Command } from "../parts/Command";
import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";
import { Moment } from "../parts/Moment";
import { sentence, Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { duration } from "../words/numbers";
import { ActiveJob } from "./ActiveJob";
import { Acts } from "./Acts";
import { State } from "./State";
import { errorInWords, STATES, titleOf, tookSeconds } from "./words";

const NAMES = [
  { value: "all", label: "all" },
  { value: "queued", label: "queued" },
  { value: "running", label: "running" },
  { value: "succeeded", label: "done" },
  { value: "failed", label: "failed" },
  { value: "cancelled", label: "cancelled" },
];

export function JobsView() {
  const { state } = useSearch({ from: "/jobs" });
  const navigate = useNavigate({ from: "/jobs" });
  const known = state !== undefined && state in STATES ? (state as Job["state"]) : undefined;
  const jobs = useInfiniteQuery(jobsQuery(known));
  const items = jobs.data?.pages.flatMap((page) => page.items) ?? [];
  const active = items.filter((job) => !isEnded(job));
  const ended = items.filter(isEnded);
  return (
    <Stack gap="md">
      <Heading title="Jobs" under="What workers do, as it happens." />
      <Group style={{ overflowX: "auto" }}>
        <SegmentedControl
          size="xs"
          aria-label="State"
          data={NAMES}
          value={known ?? "all"}
          onChange={(chosen) =>
            void navigate({
              search: { state: chosen === "all" ? undefined : chosen },
              replace: true,
            })
          }
        />
      </Group>
      {jobs.isError && <Trouble error={jobs.error} again={jobs.refetch} />}
      {jobs.isPending && <Waiting lines={8} />}
      {jobs.data && !items.length && <NoJobs state={known} />}
      {active.map((job) => (
        <ActiveJob key={job.id} job={job} />
      ))}
      {ended.length > 0 && <Ended jobs={ended} />}
      {jobs.hasNextPage && (
        <Button
          variant="default"
          loading={jobs.isFetchingNextPage}
          onClick={() => void jobs.fetchNextPage()}
        >
          Older jobs
        </Button>
      )}
    </Stack>
  );
}

function Ended({ jobs }: { jobs: Job[] }) {
  return (
    <div className="panel panel-table">
      <Table className="grid-table" highlightOnHover aria-label="Jobs that have ended">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Job</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>Result</Table.Th>
            <Table.Th>Ended</Table.Th>
            <Table.Th className="number">Took</Table.Th>
            <Table.Th className="number">Attempts</Table.Th>
            <Table.Th>Error</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {jobs.map((job) => (
            <Table.Tr key={job.id}>
              <Table.Td>
                <Link to="/jobs/$jobId" params={{ jobId: job.id }}>
                  {titleOf(job)}
                </Link>
              </Table.Td>
              <Table.Td>
                <State job={job} />
              </Table.Td>
              <Table.Td>
                <Result job={job} />
              </Table.Td>
              <Table.Td>
                <Moment at={job.finished} />
              </Table.Td>
              <Table.Td className="number">{duration(tookSeconds(job))}</Table.Td>
              <Table.Td className="number">{job.attempt}</Table.Td>
              <Table.Td style={{ whiteSpace: "normal" }}>
                <Group gap="xs">
                  {sentenceOf(job)} <Acts job={job} />
                </Group>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function sentenceOf(job: Job): string {
  const error = errorInWords(job.error);
  return error ? sentence(error.detail) : "";
}

/** What a job made, as a link to it. */
export function Result({ job }: { job: Job }) {
  const result = job.result as { pack_id?: string; head_id?: string; dataset?: string } | null;
  if (result?.head_id)
    return (
      <Link to="/heads/$headId" params={{ headId: result.head_id }} className="link">
        head
      </Link>
    );
  const packId = result?.pack_id ?? job.pack_id;
  if (packId && job.state === "succeeded")
    return (
      <Link to="/packs/$packId" params={{ packId }} className="link">
        {packId}
      </Link>
    );
  if (result?.dataset)
    return (
      <Link to="/submit" search={{ dataset: result.dataset }} className="link">
        {result.dataset}
      </Link>
    );
  return <>–</>;
}

function NoJobs({ state }: { state: Job["state"] | undefined }) {
  if (state) return <Empty title={`No job is ${STATES[state].word}`} />;
  return (
    <Empty title="No job has run yet">
      <Stack gap="sm">
        <span>
          Whatever takes long is a job.{" "}
          <Link to="/submit" className="link">
            Submit one
          </Link>
          , or in a shell:
        </span>
        <Command name="Submit" code="featurepack submit mobilenet_v2 digits" />
      </Stack>
    </Empty>
  );
}
