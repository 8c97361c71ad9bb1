/** A job that is running or will: how far it is, how fast, what limits it. */

import { Group, Progress, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";

import type { Job } from "../api/shapes";
import { LineChart } from "../charts/LineChart";
import { Moment } from "../parts/Moment";
import { digits, percent } from "../words/numbers";
import { Acts } from "./Acts";
import { useRates } from "./rates";
import { State } from "./State";
import { kindInWords, limitInWords, progressInWords, share, titleOf } from "./words";

/** How far a bar is that moves, but does not know how far. */
const UNKNOWN = 0.15;

export function ActiveJob({ job }: { job: Job }) {
  const progress = job.progress;
  const done = share(progress);
  const charted = job.kind === "extract" && job.state === "running";
  return (
    <section className="panel" aria-label={`${kindInWords(job)}, ${job.state}`}>
      <Group justify="space-between" mb={6}>
        <Link to="/jobs/$jobId" params={{ jobId: job.id }} className="link">
          <Text span fw={600} size="sm">
            {titleOf(job)}
          </Text>
        </Link>
        <Group gap="sm">
          <Text size="sm" component="span">
            <State job={job} />
          </Text>
          <Acts job={job} />
        </Group>
      </Group>
      <Progress
        value={100 * (done ?? (job.state === "running" ? UNKNOWN : 0))}
        animated={job.state === "running"}
        striped={job.state === "running" && done === null}
        aria-label={done === null ? "Progress not known" : `${percent(done, 0)} done`}
      />
      <Text size="xs" c="dimmed" mt={4} mih={18}>
        {job.state === "queued" ? <Queued job={job} /> : progressInWords(progress) || "starting"}
      </Text>
      {charted && <Rates job={job} />}
    </section>
  );
}

/** It has its place from the beginning, so that nothing jumps when there is something to draw. */
function Rates({ job }: { job: Job }) {
  const rates = useRates(job);
  const [last, most] = [rates.at(-1)?.[0] ?? 1, Math.max(0, ...rates.map(([, rate]) => rate))];
  return (
    <>
      <LineChart
        label="Images per second"
        height={110}
        lines={[{ name: "images/s", colour: "var(--page-accent)", points: rates }]}
        xRange={[0, last]}
        yRange={[0, 1.1 * most || 1]}
        xName="seconds"
        word={digits}
      />
      <Text size="xs" c="dimmed">
        Limited by {limitInWords(job.progress)}
      </Text>
    </>
  );
}

function Queued({ job }: { job: Job }) {
  if (job.waits_for) return <>Waits until {job.waits_for} is there</>;
  if (job.next_try)
    return (
      <>A passing fault stopped it; it goes on at {new Date(job.next_try).toLocaleTimeString()}</>
    );
  return (
    <>
      Waits for a worker since <Moment at={job.created} />
    </>
  );
}
