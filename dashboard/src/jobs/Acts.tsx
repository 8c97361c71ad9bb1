/** What can be done with a job: cancel it, or try it again. */

import { Button, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { cancelJob, retryJob } from "../api/calls";
import { isEnded } from "../api/events";
import { asProblem } from "../api/problems";
import type { Job } from "../api/shapes";
import { useAnswered } from "./useAnswered";

export function Acts({ job }: { job: Job }) {
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => cancelJob(job.id),
    onSuccess: (after) => {
      client.setQueryData(["job", job.id], after);
      void client.invalidateQueries({ queryKey: ["jobs"] });
    },
  });
  const again = useMutation({
    mutationFn: () => retryJob(job.id),
    onSuccess: useAnswered(),
  });
  const error = cancel.error ?? again.error;
  return (
    <>
      {!isEnded(job) && (
        <Button
          variant="default"
          size="compact-xs"
          loading={cancel.isPending}
          disabled={job.cancelling}
          onClick={() => cancel.mutate()}
        >
          Cancel
        </Button>
      )}
      {(job.state === "failed" || job.state === "cancelled") && (
        <Button
          variant="default"
          size="compact-xs"
          loading={again.isPending}
          onClick={() => again.mutate()}
        >
          Try again
        </Button>
      )}
      {error && (
        <Text size="xs" c="var(--page-bad)" role="alert">
          {asProblem(error).detail}. {asProblem(error).remedy}
        </Text>
      )}
    </>
  );
}
