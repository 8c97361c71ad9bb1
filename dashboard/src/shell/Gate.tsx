/** Lets in whoever has a key; the address stays, so that one comes in where one wanted to go. */

import { Button, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";

import { asProblem } from "../api/problems";
import { sessionQuery, signIn } from "../api/session";
import { Trouble } from "../parts/Trouble";

export function Gate({ children }: { children: ReactNode }) {
  const session = useQuery(sessionQuery);
  useRefused();
  if (session.isPending) return null;
  return session.data?.scope === null ? <SignIn /> : children;
}

/** Any call that is refused for want of a key makes this ask at once who one is. */
function useRefused(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      client.getQueryCache().subscribe((event) => {
        if (event.type !== "updated" || event.action.type !== "error") return;
        if (asProblem(event.action.error).status === 401)
          void client.invalidateQueries({ queryKey: ["session"] });
      }),
    [client],
  );
}

function SignIn() {
  const [key, setKey] = useState("");
  const client = useQueryClient();
  const entering = useMutation({
    mutationFn: signIn,
    onSuccess: (session) => client.setQueryData(sessionQuery.queryKey, session),
  });
  return (
    <main className="sign-in">
      <form
        className="panel"
        onSubmit={(event) => {
          event.preventDefault();
          entering.mutate(key.trim());
        }}
      >
        <Stack gap="sm">
          <Title order={1}>Featurepack</Title>
          <Text size="sm">This service asks for your team's key.</Text>
          <PasswordInput
            label="Key"
            description="It begins with fp_. Whoever runs the service makes keys."
            value={key}
            onChange={({ currentTarget }) => setKey(currentTarget.value)}
            autoComplete="current-password"
          />
          <Button type="submit" disabled={!key.trim()} loading={entering.isPending}>
            Sign in
          </Button>
          {entering.isError && <Trouble error={entering.error} />}
        </Stack>
      </form>
    </main>
  );
}
