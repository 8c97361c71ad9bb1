import { Group, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface Props {
  title: string;
  beside?: ReactNode;
  children: ReactNode;
}

/** A titled part of a view. */
export function Panel({ title, beside, children }: Props) {
  return (
    <div role="group" className="panel" aria-label={title}>
      <Group justify="space-between" mb="sm" gap="xs">
        <Title order={2}>{title}</Title>
        {beside}
      </Group>
      {children}
    </div>
  );
}
