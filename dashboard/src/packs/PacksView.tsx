/** What is cached: the page that is kept open. */

import { Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { RowSelectionState } from "@tanstack/react-table";
import { useCallback, useMemo, useState } from "react";

import { PAGE, packsQuery } from "../api/calls";
import { Command } from "../parts/Command";
import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";
import { LinkButton } from "../parts/LinkButton";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { count } from "../words/numbers";
import { Bulk } from "./Bulk";
import { Filters } from "./Filters";
import { asked, changed, type PacksSearch } from "./packsSearch";
import { PacksTable } from "./PacksTable";
import { Totals } from "./Totals";

export function PacksView() {
  const search = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  const [selection, setSelection] = useState<RowSelectionState>({});
  const [filter, cursor] = asked(search);
  const packs = useQuery(packsQuery(filter, cursor));
  const show = useCallback(
    (next: (before: PacksSearch) => PacksSearch) => void navigate({ search: next, replace: true }),
    [navigate],
  );
  const items = useMemo(() => packs.data?.items ?? [], [packs.data]);
  return (
    <Stack gap="md">
      <Heading title="Packs" under="Features that are there: computed once, read by all.">
        <LinkButton to="/submit">Extract features</LinkButton>
      </Heading>
      <Totals />
      <Filters search={search} onChange={(change) => show((before) => changed(before, change))} />
      <Bulk
        total={packs.data?.total}
        chosen={Object.keys(selection)}
        onDone={() => setSelection({})}
      />
      {packs.isError && <Trouble error={packs.error} again={packs.refetch} />}
      {packs.data ? (
        items.length ? (
          <div className="panel panel-table" aria-busy={packs.isPlaceholderData}>
            <PacksTable
              packs={items}
              search={search}
              onSort={show}
              selection={selection}
              onSelect={setSelection}
            />
          </div>
        ) : (
          <NoPacks
            paged={cursor !== undefined}
            filtered={Object.keys(filter).some((name) => name !== "sort" && name !== "order")}
          />
        )
      ) : (
        packs.isPending && <Waiting lines={12} />
      )}
      {packs.data && items.length > 0 && (
        <Pager
          first={(search.pages?.length ?? 0) * PAGE}
          shown={items.length}
          total={packs.data.total}
          next={packs.data.next_cursor ?? undefined}
          search={search}
          show={show}
        />
      )}
    </Stack>
  );
}

interface PagerProps {
  first: number;
  shown: number;
  total: number | undefined;
  next: string | undefined;
  search: PacksSearch;
  show: (next: (before: PacksSearch) => PacksSearch) => void;
}

function Pager({ first, shown, total, next, search, show }: PagerProps) {
  const pages = search.pages ?? [];
  const back = pages.length > 1 ? pages.slice(0, -1) : undefined;
  return (
    <Group justify="space-between" component="nav" aria-label="Pages">
      <Text size="sm" c="dimmed" aria-live="polite">
        {count(first + 1)} to {count(first + shown)}
        {total !== undefined && ` of ${count(total)}`}
      </Text>
      <Group gap="xs">
        <Button
          variant="default"
          disabled={!pages.length}
          onClick={() => show((before) => ({ ...before, pages: back }))}
        >
          Back
        </Button>
        <Button
          variant="default"
          disabled={!next}
          onClick={() => next && show((before) => ({ ...before, pages: [...pages, next] }))}
        >
          Next
        </Button>
      </Group>
    </Group>
  );
}

function NoPacks({ filtered, paged }: { filtered: boolean; paged: boolean }) {
  if (paged)
    return (
      <Empty title="Nothing is left on this page">
        <Link to="/" search={({ pages: _, ...rest }) => rest} className="link">
          To the first page
        </Link>
      </Empty>
    );
  if (filtered)
    return (
      <Empty title="No pack is like that">
        Take a filter away, or{" "}
        <Link to="/submit" className="link">
          extract what you look for
        </Link>
        .
      </Empty>
    );
  return (
    <Empty title="Nothing is cached yet">
      <Stack gap="sm">
        <span>
          A pack is a network's features of a dataset. Make the first one{" "}
          <Link to="/submit" className="link">
            under Submit
          </Link>{" "}
          or in a shell:
        </span>
        <Command name="Register digits" code="featurepack datasets add digits --builtin digits" />
        <Command name="Extract features" code="featurepack submit mobilenet_v2 digits" />
      </Stack>
    </Empty>
  );
}
