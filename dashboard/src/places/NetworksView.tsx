/** What can be extracted, and what it costs. */

import { Stack, Table, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { networksQuery } from "../api/calls";
import { Heading } from "../parts/Heading";
import { Trouble } from "../parts/Trouble";
import { Waiting } from "../parts/Waiting";
import { accuracy } from "../submit/NetworkPicker";
import { count, shape, short } from "../words/numbers";

export function NetworksView() {
  const { data, error, isPending, refetch } = useQuery(networksQuery);
  const [words, setWords] = useState("");
  const shown =
    data?.items.filter((network) => network.name.includes(words.toLowerCase().trim())) ?? [];
  return (
    <Stack gap="md">
      <Heading title="Networks" under="Frozen backbones, with what an image costs." />
      <TextInput
        type="search"
        aria-label="Search networks"
        placeholder="Search"
        maw={280}
        value={words}
        onChange={({ currentTarget }) => setWords(currentTarget.value)}
      />
      {error && <Trouble error={error} again={refetch} />}
      {isPending && <Waiting lines={12} />}
      {data && (
        <div className="panel panel-table">
          <Table
            className="grid-table"
            highlightOnHover
            aria-label={`Networks: ${count(shown.length)}`}
          >
            <Table.Thead>
              <Table.Tr>
                <Table.Th className="name">Network</Table.Th>
                <Table.Th className="number">Image</Table.Th>
                <Table.Th className="number">FLOP an image</Table.Th>
                <Table.Th className="number">Parameters</Table.Th>
                <Table.Th className="number">On ImageNet</Table.Th>
                <Table.Th className="number">Values a row</Table.Th>
                <Table.Th>Bottleneck</Table.Th>
                <Table.Th>Packs</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map((network) => (
                <Table.Tr key={network.name}>
                  <Table.Td className="name">
                    <Link to="/submit" search={{ network: network.name }}>
                      {network.name}
                    </Link>
                  </Table.Td>
                  <Table.Td className="number">{shape(network.input_size)}</Table.Td>
                  <Table.Td className="number">{short(network.flops)}</Table.Td>
                  <Table.Td className="number">{short(network.parameters)}</Table.Td>
                  <Table.Td className="number">{accuracy(network)}</Table.Td>
                  <Table.Td className="number">{shape(network.feature_shape)}</Table.Td>
                  <Table.Td>
                    <code>{network.default_tap["layer"]}</code>
                  </Table.Td>
                  <Table.Td>
                    <Link to="/" search={{ network: network.name }}>
                      its packs
                    </Link>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
    </Stack>
  );
}
