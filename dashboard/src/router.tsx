/** Every view has an address; what is filtered, sorted or compared stands in it. */

import { noop } from "@tanstack/react-query";
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";

import { overviewQuery, packsQuery } from "./api/calls";
import { queryClient } from "./api/queries";
import { asked, packsSearch } from "./packs/packsSearch";
import { PacksView } from "./packs/PacksView";
import { Missing } from "./shell/Missing";
import { Shell } from "./shell/Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: Missing });

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== ""
    ? value
    : typeof value === "number"
      ? String(value)
      : undefined;

const packs = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: packsSearch,
  loaderDeps: ({ search }) => search,
  loader: ({ deps }) => {
    queryClient.query(packsQuery(...asked(deps))).catch(noop);
    queryClient.query(overviewQuery).catch(noop);
  },
  component: PacksView,
});

const pack = createRoute({
  getParentRoute: () => root,
  path: "/packs/$packId",
  component: lazyRouteComponent(() => import("./pack/PackView"), "PackView"),
});

const submit = createRoute({
  getParentRoute: () => root,
  path: "/submit",
  validateSearch: (search): { network?: string; dataset?: string } => ({
    network: text(search["network"]),
    dataset: text(search["dataset"]),
  }),
  component: lazyRouteComponent(() => import("./submit/SubmitView"), "SubmitView"),
});

const jobs = createRoute({
  getParentRoute: () => root,
  path: "/jobs",
  validateSearch: (search): { state?: string } => ({ state: text(search["state"]) }),
  component: lazyRouteComponent(() => import("./jobs/JobsView"), "JobsView"),
});

const job = createRoute({
  getParentRoute: () => root,
  path: "/jobs/$jobId",
  component: lazyRouteComponent(() => import("./jobs/JobView"), "JobView"),
});

const heads = createRoute({
  getParentRoute: () => root,
  path: "/heads",
  validateSearch: (search): { method?: string } => ({ method: text(search["method"]) }),
  component: lazyRouteComponent(() => import("./heads/HeadsView"), "HeadsView"),
});

const head = createRoute({
  getParentRoute: () => root,
  path: "/heads/$headId",
  component: lazyRouteComponent(() => import("./heads/HeadView"), "HeadView"),
});

const compare = createRoute({
  getParentRoute: () => root,
  path: "/compare",
  validateSearch: (search): { left?: string; right?: string } => ({
    left: text(search["left"]),
    right: text(search["right"]),
  }),
  component: lazyRouteComponent(() => import("./heads/CompareView"), "CompareView"),
});

const datasets = createRoute({
  getParentRoute: () => root,
  path: "/datasets",
  component: lazyRouteComponent(() => import("./places/DatasetsView"), "DatasetsView"),
});

const networks = createRoute({
  getParentRoute: () => root,
  path: "/networks",
  component: lazyRouteComponent(() => import("./places/NetworksView"), "NetworksView"),
});

const workers = createRoute({
  getParentRoute: () => root,
  path: "/workers",
  component: lazyRouteComponent(() => import("./places/WorkersView"), "WorkersView"),
});

const tree = root.addChildren([
  packs,
  pack,
  submit,
  jobs,
  job,
  heads,
  head,
  compare,
  datasets,
  networks,
  workers,
]);

export const router = createRouter({
  routeTree: tree,
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
