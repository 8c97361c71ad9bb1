import { Group, Text, Title } from "@mantine/core";
import { useEffect, type ReactNode } from "react";

interface Props {
  title: string;
  under?: ReactNode;
  children?: ReactNode;
}

/** A view's name, also the window's, and what can be done with the whole of it. */
export function Heading({ title, under, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Featurepack`;
  }, [title]);
  return (
    <Group justify="space-between" align="flex-start" gap="sm">
      <div style={{ minWidth: 0 }}>
        <Title order={1}>{title}</Title>
        {under && (
          <Text component="div" c="dimmed" size="sm">
            {under}
          </Text>
        )}
      </div>
      {children && <Group gap="xs">{children}</Group>}
    </Group>
  );
}
