/** Who one is, and the way out. */

import { Button, Group, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { sessionQuery, signOut } from "../api/session";

export function Who() {
  const session = useQuery(sessionQuery).data;
  const client = useQueryClient();
  const leaving = useMutation({
    mutationFn: signOut,
    // What was seen is forgotten before anybody else signs in.
    onSuccess: () => client.resetQueries(),
  });
  if (!session?.scope || session.open) return null;
  return (
    <Group gap="xs" wrap="nowrap">
      <Text size="sm" title={`May ${session.scope}`}>
        {session.team ?? "operator"}
      </Text>
      <Button variant="default" loading={leaving.isPending} onClick={() => leaving.mutate()}>
        Sign out
      </Button>
    </Group>
  );
}
