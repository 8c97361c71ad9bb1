/** How a pack was made: the recipe in words and in values, provenance, certificate. */

import { Code, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";

import type { Pack } from "../api/shapes";
import { Facts } from "../parts/Facts";
import { Moment } from "../parts/Moment";
import { Panel } from "../parts/Panel";
import { count, digits, duration, shape } from "../words/numbers";
import { plain } from "../words/plain";
import { recipeInWords, recipeOf, splitSizes, viewInWords } from "../words/recipe";

interface Certificate {
  rows: number[];
  largest_error: number | null;
  smallest_cosine: number | null;
  bound: number | null;
  measure: string;
  copied_from?: string[];
}

interface Provenance {
  versions?: Record<string, string>;
  device?: string;
  engine?: string | null;
  batch?: number | null;
  images_per_second?: number | null;
  seconds?: number;
  rows_copied?: number;
  rows_computed?: number;
  worker?: string;
  limited_by?: string | null;
  copied_from?: Record<string, number>;
  certificate?: Certificate | null;
}

export function Origin({ pack }: { pack: Pack }) {
  return (
    <div className="columns">
      <Panel title="What it is">
        <Text size="sm" mb="sm">
          {recipeInWords(pack)}
        </Text>
        <Facts facts={whatItIs(pack)} />
        <details style={{ marginTop: 12, fontSize: 14 }}>
          <summary>All values of the recipe</summary>
          <Code block mt="xs" tabIndex={0}>
            {JSON.stringify(pack.recipe, null, 2)}
          </Code>
        </details>
      </Panel>
      <Panel title="How it was made">
        <Facts facts={howItWasMade(pack)} />
      </Panel>
    </div>
  );
}

function whatItIs(pack: Pack): [string, React.ReactNode][] {
  const view = viewInWords(pack.view);
  const sizes = splitSizes(pack.splits).map(([name, rows]) => `${name} ${count(rows)}`);
  return [
    [
      "Dataset",
      <span key="dataset">
        {pack.dataset} version {plain(pack.dataset_info["version"], "–")}
        {view && `, ${view}`}
      </span>,
    ],
    ["Rows", `${count(pack.rows)}: ${sizes.join(", ")}`],
    ["A row", `${shape(pack.row_shape)} × ${pack.dtype}`],
    ["Classes", count(pack.classes.length)],
    [
      "Undecodable",
      pack.invalid_rows.length
        ? `${count(pack.invalid_rows.length)} (their rows are zero)`
        : "none",
    ],
    ["Recipe", <Code key="recipe">{pack.recipe_id}</Code>],
    ["Last used", <Moment key="used" at={pack.last_used} />],
    ["Hits", count(pack.hits)],
  ];
}

function howItWasMade(pack: Pack): [string, React.ReactNode][] {
  const made = pack.provenance as Provenance;
  const versions = Object.entries(made.versions ?? {}).map(
    ([name, version]) => `${name} ${version}`,
  );
  const copied = Object.entries(made.copied_from ?? {});
  const facts: [string, React.ReactNode][] = [["Made", <Moment key="made" at={pack.created} />]];
  if (recipeOf(pack))
    facts.push(
      ["On", `${made.device ?? "–"} · ${made.worker ?? "–"}`],
      [
        "Engine",
        made.engine
          ? `${made.engine}, batches of ${count(made.batch)}`
          : "none: every row was there",
      ],
      [
        "Took",
        `${duration(made.seconds)}${made.images_per_second ? ` at ${digits(made.images_per_second)} images/s` : ""}`,
      ],
      ["Rows computed", count(made.rows_computed)],
      [
        "Rows reused",
        copied.length ? <Copied key="copied" from={copied} /> : count(made.rows_copied),
      ],
      ["Certificate", certified(made.certificate)],
    );
  facts.push(["Versions", versions.join(", ") || "–"]);
  return facts;
}

function Copied({ from }: { from: [string, number][] }) {
  return (
    <>
      {from.map(([packId, rows]) => (
        <div key={packId}>
          {count(rows)} from{" "}
          <Link to="/packs/$packId" params={{ packId }} className="link">
            {packId}
          </Link>
        </div>
      ))}
    </>
  );
}

/** How far sampled rows lie from plain float32, in words. */
function certified(certificate: Certificate | null | undefined): string {
  if (!certificate) return "none";
  const rows = certificate.rows.length ? `${certificate.rows.length} rows` : "rows";
  const origin = certificate.copied_from?.length ? ", from the packs it was copied of" : "";
  if (certificate.measure === "largest_error")
    return (
      `${rows} computed again in plain float32 differ by at most ${digits(certificate.largest_error)} ` +
      `(allowed: ${digits(certificate.bound)})${origin}`
    );
  return `cosine to plain float32 at least ${certificate.smallest_cosine?.toFixed(5)} (${rows}; allowed: ${certificate.bound})${origin}`;
}
