/** Which images there are. */

import { Button, Stack, Table } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { datasetsQuery, registerDataset } from "../api/calls";
import type { Dataset } from "../api/shapes";
import { Command } from "../parts/Command";
import { Empty } from "../parts/Empty";
import { Heading } from "../parts/Heading";
import { LinkButton } from "../parts/LinkButton";
import { Moment } from "../parts/Moment";
import { PrivateMark } from "../parts/Private";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { bytes, count } from "../words/numbers";

export function DatasetsView() {
  const { data, error, isPending, refetch } = useQuery(datasetsQuery);
  return (
    <Stack gap="md">
      <Heading title="Datasets" under="Immutable versions of images, under names.">
        <LinkButton to="/submit">Upload images</LinkButton>
      </Heading>
      {error && <Trouble error={error} again={refetch} />}
      {isPending && <Waiting lines={6} />}
      {data && (data.items.length ? <DatasetTable datasets={data.items} /> : <NoDatasets />)}
    </Stack>
  );
}

function DatasetTable({ datasets }: { datasets: Dataset[] }) {
  return (
    <div className="panel panel-table">
      <Table className="grid-table" aria-label="Datasets">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Name</Table.Th>
            <Table.Th className="number">Version</Table.Th>
            <Table.Th>Splits</Table.Th>
            <Table.Th className="number">Images</Table.Th>
            <Table.Th className="number">Classes</Table.Th>
            <Table.Th className="number">Size</Table.Th>
            <Table.Th>From</Table.Th>
            <Table.Th>Age</Table.Th>
            <Table.Th>Packs</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {datasets.map((dataset) => (
            <Table.Tr key={dataset.dataset_id}>
              <Table.Td>
                <Link to="/submit" search={{ dataset: dataset.name }}>
                  {dataset.name}
                </Link>{" "}
                <PrivateMark of={dataset} />
              </Table.Td>
              <Table.Td className="number">{dataset.version}</Table.Td>
              <Table.Td>
                {Object.entries(dataset.splits)
                  .map(([name, rows]) => `${name} ${count(rows)}`)
                  .join(" · ")}
              </Table.Td>
              <Table.Td className="number">{count(dataset.rows)}</Table.Td>
              <Table.Td className="number" title={dataset.classes.slice(0, 40).join(", ")}>
                {count(dataset.classes.length)}
              </Table.Td>
              <Table.Td className="number">{bytes(dataset.bytes)}</Table.Td>
              <Table.Td>{String(dataset.source["kind"] ?? "–")}</Table.Td>
              <Table.Td>
                <Moment at={dataset.created} />
              </Table.Td>
              <Table.Td>
                <Link to="/" search={{ dataset: dataset.name }}>
                  its packs
                </Link>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function NoDatasets() {
  const client = useQueryClient();
  const register = useMutation({
    mutationFn: () => registerDataset("digits", { kind: "builtin", name: "digits" }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["datasets"] }),
  });
  return (
    <Empty title="No dataset is registered yet">
      <Stack gap="sm">
        <span>
          Upload an archive with a folder for each class, or begin with 1,797 handwritten digits:
        </span>
        <Button
          mx="auto"
          variant="light"
          loading={register.isPending}
          onClick={() => register.mutate()}
        >
          Register digits
        </Button>
        {register.isError && <Trouble error={register.error} />}
        <Command name="Register digits" code="featurepack datasets add digits --builtin digits" />
        <Command name="Upload an archive" code="featurepack datasets add birds birds.zip" />
      </Stack>
    </Empty>
  );
}
