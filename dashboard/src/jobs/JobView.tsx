/** One job: live while it runs, its attempts and errors after. */

import { Alert, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import { jobQuery } from "../api/calls";
import { isEnded } from "../api/events";
import type { Job } from "../api/shapes";
import { Facts } from "../parts/Facts";
import { Heading } from "../parts/Heading";
import { Moment } from "../parts/Moment";
import { Panel } from "../parts/Panel";
import { sentence, Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { duration } from "../words/numbers";
import { ActiveJob } from "./ActiveJob";
import { Acts } from "./Acts";
import { Result } from "./JobsView";
import { State } from "./State";
import { errorInWords, progressInWords, titleOf, tookSeconds } from "./words";

export function JobView() {
  const { jobId } = useParams({ from: "/jobs/$jobId" });
  const job = useQuery({ ...jobQuery(jobId), refetchInterval: 10_000 });
  if (job.isError && !job.data) return <Trouble error={job.error} again={job.refetch} />;
  if (!job.data) return <Waiting lines={8} />;
  return (
    <Stack gap="md">
      <Heading
        title={titleOf(job.data)}
        under={
          <>
            <code>{jobId}</code> · <State job={job.data} />
          </>
        }
      >
        {isEnded(job.data) && <Acts job={job.data} />}
      </Heading>
      <Failure job={job.data} />
      {!isEnded(job.data) && <ActiveJob job={job.data} />}
      <Panel title="Details">
        <Facts
          facts={[
            ["Result", <Result key="made" job={job.data} />],
            ["Requested", <Moment key="created" at={job.data.created} />],
            ["Began", <Moment key="started" at={job.data.started} />],
            [isEnded(job.data) ? "Took" : "Running for", duration(tookSeconds(job.data))],
            ["Last progress", progressInWords(job.data.progress) || "–"],
            ["Worker", job.data.worker ?? "–"],
            ["Requested by", job.data.submitters.join(", ") || "–"],
          ]}
        />
      </Panel>
      <Attempts job={job.data} />
      <Text size="sm">
        <Link to="/jobs" className="link">
          All jobs
        </Link>
      </Text>
    </Stack>
  );
}

function Failure({ job }: { job: Job }) {
  const error = errorInWords(job.error);
  if (!error || job.state !== "failed") return null;
  return (
    <Alert color="red" variant="light" title="Failed" role="alert">
      {sentence(error.detail)} {error.remedy && sentence(error.remedy)}
    </Alert>
  );
}

function Attempts({ job }: { job: Job }) {
  if (!job.attempts.length) return null;
  return (
    <Panel title="Attempts">
      <div style={{ overflow: "auto" }} tabIndex={0} role="group" aria-label="Attempts, to scroll">
        <Table className="grid-table" aria-label="Attempts">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Attempt</Table.Th>
              <Table.Th>Worker</Table.Th>
              <Table.Th>Began</Table.Th>
              <Table.Th>Outcome</Table.Th>
              <Table.Th>Error</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {job.attempts.map((attempt) => (
              <Table.Tr key={attempt.attempt}>
                <Table.Td>{attempt.attempt}</Table.Td>
                <Table.Td>{attempt.worker}</Table.Td>
                <Table.Td>
                  <Moment at={attempt.began} />
                </Table.Td>
                <Table.Td>{attempt.outcome}</Table.Td>
                <Table.Td style={{ whiteSpace: "normal", minWidth: 180 }}>
                  {errorOf(attempt)}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </div>
    </Panel>
  );
}

function errorOf(attempt: Job["attempts"][number]): string {
  const error = errorInWords(attempt.error);
  return error ? sentence(error.detail) : "–";
}
