/** One accent, quiet greys, small type. Contrast is AA in light and dark, under the pointer too. */

import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

/** Mantine's greys of the dark scheme, with the blue of our surfaces. */
const SLATE: MantineColorsTuple = [
  "#d3d9df",
  "#b6bec7",
  "#9aa5b1",
  "#5b6570",
  "#3b434b",
  "#2e343a",
  "#242a30",
  "#1b1f23",
  "#171a1e",
  "#111417",
];

export const theme = createTheme({
  primaryColor: "cyan",
  primaryShade: 9,
  defaultRadius: "sm",
  colors: { dark: SLATE },
  cursorType: "pointer",
  fontFamily: 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, Ubuntu, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: "600", sizes: { h1: { fontSize: "1.35rem" }, h2: { fontSize: "1rem" } } },
  components: {
    Table: {
      defaultProps: {
        verticalSpacing: 6,
        horizontalSpacing: "sm",
        fz: "sm",
        // Mantine's own leaves too little contrast to the quieter words.
        highlightOnHoverColor: "color-mix(in srgb, var(--page-accent) 6%, transparent)",
      },
    },
    // Locking it would add a style that has no nonce, and move what stands beside the scroll bar.
    Modal: {
      defaultProps: { lockScroll: false, closeButtonProps: { "aria-label": "Close" } },
    },
    Button: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm", allowDeselect: false } },
    Tooltip: { defaultProps: { openDelay: 200, withArrow: true } },
  },
});

export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#fbfbfa",
    "--mantine-color-dimmed": "#5c6570",
    "--mantine-color-placeholder": "#5c6570",
    "--mantine-color-cyan-light": "#e4f1f3",
    "--mantine-primary-color-filled-hover": "#095c6b",
    "--mantine-color-cyan-filled-hover": "#095c6b",
    "--mantine-color-cyan-light-color": "#095c6b",
    "--mantine-color-red-light-color": "#a82020",
    "--page-surface": "#ffffff",
    "--page-strong": "#000000",
    "--page-line": "#e2e4e3",
    "--page-accent": "#0b7285",
    "--page-good": "#2b7a3d",
    "--page-bad": "#c22f2f",
    "--page-warn": "#96600a",
  },
  dark: {
    "--mantine-color-body": "#14171a",
    "--mantine-color-dimmed": "#9aa5b1",
    "--mantine-color-placeholder": "#9aa5b1",
    "--mantine-primary-color-filled-hover": "#095c6b",
    "--mantine-color-cyan-filled-hover": "#095c6b",
    "--page-surface": "#1b1f23",
    "--page-strong": "#ffffff",
    "--page-line": "#2e343a",
    "--page-accent": "#3bc9db",
    "--page-good": "#69c37f",
    "--page-bad": "#ff8787",
    "--page-warn": "#f0b355",
  },
});
