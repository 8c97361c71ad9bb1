/** Two heads side by side. */

import { Alert, Select, SimpleGrid, Stack } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";

import { bestPacksQuery, headQuery, headsQuery } from "../api/calls";
import type { Head } from "../api/shapes";
import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { percent } from "../words/numbers";
import { packInWords } from "../words/recipe";
import { HeadDetails } from "./HeadDetails";
import { agreement } from "./paired";

export function CompareView() {
  const { left, right } = useSearch({ from: "/compare" });
  const navigate = useNavigate({ from: "/compare" });
  const first = useQuery({ ...headQuery(left ?? ""), enabled: left !== undefined });
  const second = useQuery({ ...headQuery(right ?? ""), enabled: right !== undefined });
  // All at once: the one that comes first would be pushed down by what is said of both.
  const waiting = [first, second].some((head) => head.isLoading);
  const choose = (side: "left" | "right") => (headId: string | null) =>
    void navigate({
      search: (before) => ({ ...before, [side]: headId ?? undefined }),
      replace: true,
    });
  return (
    <Stack gap="md">
      <Heading
        title="Compare heads"
        under="Side by side, and image by image where both saw the same ones."
      />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
        <Picker label="First head" value={left} onChange={choose("left")} />
        <Picker label="Second head" value={right} onChange={choose("right")} />
      </SimpleGrid>
      {!left && !right && (
        <Empty title="Choose two heads">
          Or choose them in the table of{" "}
          <Link to="/heads" className="link">
            all heads
          </Link>
          .
        </Empty>
      )}
      {waiting && <Waiting lines={10} />}
      {!waiting && first.data && second.data && <Verdict first={first.data} second={second.data} />}
      {!waiting && (
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
          {[first, second].map((head, side) => (
            <Stack key={side} gap="md" miw={0}>
              {head.isError && <Trouble error={head.error} again={head.refetch} />}
              {head.data && <HeadDetails head={head.data} narrow />}
            </Stack>
          ))}
        </SimpleGrid>
      )}
    </Stack>
  );
}

interface PickerProps {
  label: string;
  value: string | undefined;
  onChange: (headId: string | null) => void;
}

function Picker({ label, value, onChange }: PickerProps) {
  const heads = useInfiniteQuery(headsQuery()).data?.pages.flatMap((page) => page.items) ?? [];
  const names = useHeadNames();
  const named = heads.map((head) => {
    const accuracy = percent(head.metrics.validation_accuracy);
    return {
      value: head.head_id,
      label: `${names(head)} · ${accuracy} · ${head.head_id.slice(0, 6)}`,
    };
  });
  return (
    <Select
      label={label}
      placeholder="Choose a head"
      data={named}
      value={value ?? null}
      onChange={onChange}
      searchable
      limit={100}
    />
  );
}

/** "linear of resnet50 on birds" */
function useHeadNames(): (head: Head) => string {
  const packs = new Map(useQuery(bestPacksQuery).data?.items.map((pack) => [pack.pack_id, pack]));
  return (head) => `${head.method} of ${packInWords(packs.get(head.pack_id), head.pack_id)}`;
}

function Verdict({ first, second }: { first: Head; second: Head }) {
  const names = useHeadNames();
  const words = agreement(first.metrics, second.metrics, [names(first), names(second)]);
  return (
    <Alert color="cyan" variant="light" title={words.title}>
      {words.detail}
    </Alert>
  );
}
