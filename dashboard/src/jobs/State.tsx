import type { Job } from "../api/shapes";
import { STATES } from "./words";

/** A job's state by word, sign and colour. */
export function State({ job }: { job: Job }) {
  const { word, colour, sign } = STATES[job.state];
  return (
    <span style={{ color: colour, whiteSpace: "nowrap" }}>
      <span aria-hidden="true">{sign}</span>{" "}
      {job.cancelling && job.state === "running" ? "stopping" : word}
    </span>
  );
}
