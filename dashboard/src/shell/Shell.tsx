/** The frame around every view: where one can go, and whether the service is there. */

import {
  ActionIcon,
  AppShell,
  Burger,
  Group,
  Text,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { useEffect } from "react";

import { useJobEvents } from "../api/events";
import { Connection } from "./Connection";
import { Gate } from "./Gate";
import { Who } from "./Who";

const PLACES = [
  ["/", "Packs"],
  ["/submit", "Submit"],
  ["/jobs", "Jobs"],
  ["/heads", "Heads"],
  ["/datasets", "Datasets"],
  ["/networks", "Networks"],
  ["/workers", "Workers"],
] as const;

export function Shell() {
  return (
    <Gate>
      <Frame />
    </Gate>
  );
}

function Frame() {
  const [open, { toggle, close }] = useDisclosure(false);
  useJobEvents();
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(close, [path, close]);
  return (
    <AppShell
      header={{ height: 48, collapsed: false }}
      navbar={{ width: 172, breakpoint: "sm", collapsed: { mobile: !open } }}
      padding="md"
    >
      <a className="skip" href="#main">
        To the content
      </a>
      <AppShell.Header bg="var(--page-surface)">
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={open}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={open ? "Close the menu" : "Open the menu"}
            />
            <Link to="/" className="brand">
              <Mark />
              <Text fw={650}>Featurepack</Text>
            </Link>
          </Group>
          <Group gap="md" wrap="nowrap">
            <Who />
            <a className="link" href="/docs">
              API
            </a>
            <Scheme />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" bg="var(--page-surface)" aria-label="Views">
        {PLACES.map(([to, name]) => (
          <Link
            key={to}
            to={to}
            className="nav"
            activeOptions={{ exact: to === "/", includeSearch: false }}
          >
            {name}
          </Link>
        ))}
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <Connection />
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function Mark() {
  return (
    <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--page-accent)" />
      <path d="M8 9h16v3H8zm0 6h11v3H8zm0 6h7v3H8z" fill="var(--page-surface)" />
    </svg>
  );
}

function Scheme() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  return (
    <ActionIcon
      variant="default"
      aria-label={dark ? "Light colours" : "Dark colours"}
      onClick={() => setColorScheme(dark ? "light" : "dark")}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.6" />
        <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
      </svg>
    </ActionIcon>
  );
}
