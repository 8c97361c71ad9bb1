/** What can be done with the chosen packs. */

import { Button, Group, Modal, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { deletePacks, pinPacks } from "../api/calls";
import type { BulkAnswer } from "../api/shapes";
import { sentence, Trouble } from "../parts/Trouble";
import { count } from "../words/numbers";

interface Props {
  chosen: string[];
  /** How many packs the filters let through, if known. */
  total: number | undefined;
  onDone: () => void;
}

export function Bulk({ chosen, total, onDone }: Props) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const change = useMutation({
    mutationFn: (act: Act) =>
      act === "delete" ? deletePacks(chosen) : pinPacks(chosen, act === "pin"),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["packs"] });
      void client.invalidateQueries({ queryKey: ["overview"] });
      setAsking(false);
      onDone();
    },
  });
  const { data: answer, variables: act, reset } = change;
  const said = useRef<HTMLParagraphElement>(null);
  const none = chosen.length === 0;
  // The button that was pressed is gone: who used the keyboard stands where the outcome is said.
  useEffect(() => {
    if (answer && none) said.current?.focus({ preventScroll: true });
  }, [answer, none]);
  useEffect(() => {
    if (!none) reset();
  }, [none, reset]);
  const packs = packsInWords(chosen.length);
  return (
    <>
      <Group gap="xs" mih={30} aria-live="polite">
        {none && (
          <Text size="sm" c="dimmed" ref={said} tabIndex={-1}>
            {answer ? doneInWords(answer, act) : total !== undefined && packsInWords(total)}
          </Text>
        )}
        {!none && (
          <>
            <Text size="sm">{packs} chosen</Text>
            <Button variant="default" onClick={() => change.mutate("pin")}>
              Pin
            </Button>
            <Button variant="default" onClick={() => change.mutate("unpin")}>
              Unpin
            </Button>
            <Button variant="light" color="red" onClick={() => setAsking(true)}>
              Delete…
            </Button>
            <Button variant="subtle" color="gray" onClick={onDone}>
              Choose none
            </Button>
          </>
        )}
      </Group>
      {change.isError && <Trouble error={change.error} />}
      {answer && <Refused answer={answer} />}
      <Modal opened={asking} onClose={() => setAsking(false)} title={`Delete ${packs}?`} centered>
        <Text size="sm">
          Their files and their heads go. Whoever reads one now may finish. They can be built again
          from their datasets, which takes as long as the first time.
        </Text>
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={() => setAsking(false)} data-autofocus>
            Keep them
          </Button>
          <Button color="red" loading={change.isPending} onClick={() => change.mutate("delete")}>
            Delete {packs}
          </Button>
        </Group>
      </Modal>
    </>
  );
}

type Act = "delete" | "pin" | "unpin";

const PAST: Record<Act, string> = { delete: "deleted", pin: "pinned", unpin: "unpinned" };

const packsInWords = (many: number) => (many === 1 ? "1 pack" : `${count(many)} packs`);

/** "2 packs deleted" */
const doneInWords = (answer: BulkAnswer, act: Act) =>
  `${packsInWords(answer.items.length - refused(answer).length)} ${PAST[act]}`;

const refused = (answer: BulkAnswer) => answer.items.filter((item) => !item.done);

function Refused({ answer }: { answer: BulkAnswer }) {
  return refused(answer).map(({ pack_id, problem }) => (
    <Text key={pack_id} size="sm" c="var(--page-bad)" role="alert">
      {problem?.status === 404
        ? `${pack_id} was not there any more: somebody else deleted it, or it was evicted.`
        : sentence(problem?.detail ?? `${pack_id} was left as it is`)}
    </Text>
  ));
}
