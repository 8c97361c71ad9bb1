import { Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

/** Nothing is there yet: what that means, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Stack align="center" gap="sm" py={48} px="md">
      <Title order={2}>{title}</Title>
      <Text component="div" c="dimmed" size="sm" maw={620} w="100%" ta="center">
        {children}
      </Text>
    </Stack>
  );
}
