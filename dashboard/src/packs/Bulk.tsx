/** What can be done with the chosen packs. */

import { Button, Group, Modal, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

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
    mutationFn: (act: "delete" | "pin" | "unpin") =>
      act === "delete" ? deletePacks(chosen) : pinPacks(chosen, act === "pin"),
    onSuccess: (answer) => {
      void client.invalidateQueries({ queryKey: ["packs"] });
      void client.invalidateQueries({ queryKey: ["overview"] });
      setAsking(false);
      if (!refused(answer).length) onDone();
    },
  });
  const packs = chosen.length === 1 ? "1 pack" : `${count(chosen.length)} packs`;
  return (
    <>
      <Group gap="xs" mih={30} aria-live="polite">
        {chosen.length === 0 && total !== undefined && (
          <Text size="sm" c="dimmed">
            {total === 1 ? "1 pack" : `${count(total)} packs`}
          </Text>
        )}
        {chosen.length > 0 && (
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
      {change.data && <Refused answer={change.data} />}
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

const refused = (answer: BulkAnswer) => answer.items.filter((item) => !item.done);

function Refused({ answer }: { answer: BulkAnswer }) {
  return refused(answer).map(({ pack_id, problem }) => (
    <Text key={pack_id} size="sm" c="var(--page-bad)" role="alert">
      {sentence(problem?.detail ?? `${pack_id} was left as it is`)}{" "}
      {sentence(problem?.remedy ?? "")}
    </Text>
  ));
}
