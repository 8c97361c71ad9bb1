import { Group, Text, Title } from "@mantine/core";
import { useRouterState } from "@tanstack/react-router";
import { useEffect, useRef, type ReactNode } from "react";

interface Props {
  title: string;
  under?: ReactNode;
  children?: ReactNode;
}

/** Where the last heading stood; null until the page has one. */
let place: string | null = null;

/** A view's name, also the window's, and what can be done with the whole of it. Who comes here from
 * another view has the keyboard's focus on it, so that screen readers say it and Tab goes on here. */
export function Heading({ title, under, children }: Props) {
  const name = useRef<HTMLHeadingElement>(null);
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
  useEffect(() => {
    if (path === undefined) return;
    if (place !== null && place !== path) name.current?.focus({ preventScroll: true });
    place = path;
  }, [path]);
  useEffect(() => {
    document.title = `${title} · Featurepack`;
  }, [title]);
  return (
    <Group justify="space-between" align="flex-start" gap="sm">
      <div style={{ minWidth: 0 }}>
        <Title order={1} ref={name} tabIndex={-1}>
          {title}
        </Title>
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
