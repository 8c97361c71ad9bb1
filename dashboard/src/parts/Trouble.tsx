import { Alert, Button, Group, Text } from "@mantine/core";

import { asProblem } from "../api/problems";

/** What went wrong and what to do, in the service's own words. */
export function Trouble({ error, again }: { error: unknown; again?: () => unknown }) {
  const problem = asProblem(error);
  return (
    <Alert
      color={problem.passes ? "yellow" : "red"}
      variant="light"
      role="alert"
      title={problem.title}
    >
      <Text size="sm" style={{ overflowWrap: "anywhere" }}>
        {sentence(problem.detail)}
      </Text>
      <Group justify="space-between" mt={6} gap="sm">
        <Text size="sm">{sentence(problem.remedy)}</Text>
        {again && (
          <Button variant="default" onClick={() => void again()}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  );
}

/** "the pack is gone" → "The pack is gone." */
export function sentence(words: string): string {
  const first = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
