import { Button, Group, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { datasetsQuery, networksQuery } from "../api/calls";
import type { PacksSearch } from "./packsSearch";

interface Props {
  search: PacksSearch;
  onChange: (change: Partial<PacksSearch>) => void;
}

const TYPING_MS = 180;
const STATES = [
  { value: "sound", label: "Sound" },
  { value: "damaged", label: "Damaged" },
  { value: "pinned", label: "Pinned" },
];

/** Lists are asked for when somebody turns to them. What is typed stands at once in the field, and soon after in the address and the table. */
export function Filters({ search, onChange }: Props) {
  const [wanted, setWanted] = useState(false);
  const networks = useQuery({ ...networksQuery, enabled: wanted }).data?.items;
  const datasets = useQuery({ ...datasetsQuery, enabled: wanted }).data?.items;
  const any = search.q ?? search.network ?? search.dataset ?? search.health ?? search.pinned;
  return (
    <Group gap="xs" role="search" aria-label="Filter packs">
      <Words words={search.q ?? ""} onChange={(q) => onChange({ q })} />
      <Select
        aria-label="Network"
        placeholder="Any network"
        data={namesOf(networks, search.network)}
        onFocus={() => setWanted(true)}
        value={search.network ?? null}
        onChange={(network) => onChange({ network: network ?? undefined })}
        searchable
        clearable
        w={170}
      />
      <Select
        aria-label="Dataset"
        placeholder="Any dataset"
        data={namesOf(datasets, search.dataset)}
        onFocus={() => setWanted(true)}
        value={search.dataset ?? null}
        onChange={(dataset) => onChange({ dataset: dataset ?? undefined })}
        searchable
        clearable
        w={160}
      />
      <Select
        aria-label="State"
        placeholder="Any state"
        data={STATES}
        value={search.pinned ? "pinned" : (search.health ?? null)}
        onChange={(state) =>
          onChange({
            pinned: state === "pinned" ? true : undefined,
            health: state === "sound" || state === "damaged" ? state : undefined,
          })
        }
        clearable
        w={125}
      />
      {any !== undefined && (
        <Button variant="subtle" color="gray" size="sm" onClick={() => onChange(NO_FILTER)}>
          Clear
        </Button>
      )}
    </Group>
  );
}

/** Before somebody looks at the list, it has what is chosen alone. */
const namesOf = (items: { name: string }[] | undefined, chosen: string | undefined) =>
  items?.map((one) => one.name) ?? (chosen === undefined ? [] : [chosen]);

const NO_FILTER: Partial<PacksSearch> = {
  q: undefined,
  network: undefined,
  dataset: undefined,
  health: undefined,
  pinned: undefined,
};

function Words({ words, onChange }: { words: string; onChange: (words: string) => void }) {
  const [typed, setTyped] = useState(words);
  const later = useDebouncedCallback(onChange, TYPING_MS);
  const [shown, setShown] = useState(words);
  if (shown !== words) {
    setShown(words);
    setTyped(words);
  }
  return (
    <TextInput
      type="search"
      aria-label="Search"
      placeholder="Search network, dataset, tap, id"
      value={typed}
      onChange={({ currentTarget }) => {
        setTyped(currentTarget.value);
        later(currentTarget.value);
      }}
      style={{ flex: "1 1 220px" }}
      maw={340}
    />
  );
}
