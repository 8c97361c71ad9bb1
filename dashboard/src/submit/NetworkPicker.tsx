import { Group, Select, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { networksQuery } from "../api/calls";
import type { Network } from "../api/shapes";
import { percent, shape, short } from "../words/numbers";

interface Props {
  value: string;
  onChange: (network: string) => void;
}

/** Networks with what each costs. */
export function NetworkPicker({ value, onChange }: Props) {
  const networks = useQuery(networksQuery).data?.items ?? [];
  const byName = new Map(networks.map((network) => [network.name, network]));
  const chosen = byName.get(value);
  return (
    <Select
      label="Network"
      placeholder="Such as mobilenet_v2"
      description={chosen ? costInWords(chosen) : "What its features are computed with"}
      data={networks.map((network) => network.name)}
      value={value || null}
      onChange={(name) => onChange(name ?? "")}
      searchable
      renderOption={({ option }) => {
        const network = byName.get(option.value);
        return (
          <Group justify="space-between" w="100%" wrap="nowrap">
            <Text size="sm">{option.value}</Text>
            <Text size="xs" c="dimmed">
              {network && `${short(network.flops)}FLOP · ${accuracy(network)}`}
            </Text>
          </Group>
        );
      }}
    />
  );
}

export const accuracy = (network: Network): string => {
  const best = Math.max(0, ...network.weights.map((one) => one.acc1 ?? 0));
  return best ? percent(best / 100) : "–";
};

export const costInWords = (network: Network): string =>
  `${short(network.flops)}FLOP an image, ${short(network.parameters)} parameters, ` +
  `${accuracy(network)} on ImageNet; a row of ${shape(network.feature_shape)} values`;
