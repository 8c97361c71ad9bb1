import { Group, Text } from "@mantine/core";

import type { Mistake } from "../api/shapes";
import { Thumbnail } from "../parts/Thumbnail";
import { percent } from "../words/numbers";

interface Props {
  packId: string;
  mistakes: Mistake[];
}

/** The surest mistakes, with their images: often the label is what is wrong. */
export function Mistakes({ packId, mistakes }: Props) {
  if (!mistakes.length) return <Text size="sm">It made none.</Text>;
  return (
    <ul className="mistakes">
      {mistakes.map((mistake) => (
        <li key={mistake.row}>
          <Group gap="xs" wrap="nowrap">
            <Thumbnail
              packId={packId}
              row={mistake.row}
              label={`Row ${mistake.row}: ${mistake.label}`}
              side={56}
            />
            <div style={{ fontSize: 12.5, minWidth: 0 }}>
              <div>
                <b>{mistake.label}</b> taken for <b>{mistake.predicted}</b>
              </div>
              <div>{percent(mistake.probability)} sure</div>
              <Text size="xs" c="dimmed" truncate title={mistake.row_id}>
                {mistake.row_id}
              </Text>
            </div>
          </Group>
        </li>
      ))}
    </ul>
  );
}
