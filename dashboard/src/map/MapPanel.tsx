/** A pack's rows as points in a plane: like images lie near each other. */

import { Group, Loader, SegmentedControl, Select, Switch, Text } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { headQuery, headsQuery } from "../api/calls";
import type { Pack } from "../api/shapes";
import { errorInWords } from "../jobs/words";
import { Thumbnail } from "../parts/Thumbnail";
import { Trouble } from "../parts/Trouble";
import { count, percent } from "../words/numbers";
import { plain } from "../words/plain";
import { Chosen } from "./Chosen";
import { Key } from "./Key";
import { MapCanvas } from "./MapCanvas";
import type { Points } from "./points";
import { mapQuery, type Method } from "./query";
import { tints, type Judge } from "./tinting";

export default function MapPanel({ pack }: { pack: Pack }) {
  const [method, setMethod] = useState<Method>("pca");
  const map = useQuery(mapQuery(pack.pack_id, method));
  const failed =
    map.data && "id" in map.data && map.data.state === "failed" ? map.data.error : null;
  return (
    <div style={{ minHeight: 520 }}>
      <Group mb="xs">
        <SegmentedControl
          size="xs"
          aria-label="Method"
          data={METHODS}
          value={method}
          onChange={(chosen) => setMethod(chosen === "tsne" ? "tsne" : "pca")}
        />
      </Group>
      {map.isError && <Trouble error={map.error} again={map.refetch} />}
      {failed && <Text size="sm">It could not be computed: {errorInWords(failed)?.detail}</Text>}
      {!failed && !map.isError && (!map.data || "id" in map.data) && (
        <Text size="sm" c="dimmed" component="div">
          <Loader size="xs" mr={8} /> A worker computes it; it is kept after that.
        </Text>
      )}
      {map.data && "places" in map.data && <Drawn pack={pack} points={map.data} />}
    </div>
  );
}

const METHODS = [
  { value: "pca", label: "PCA" },
  { value: "tsne", label: "t-SNE (5,000 rows)" },
];

const TIP_WIDTH = 124;
const TIP_HEIGHT = 126;
const BESIDE = 12;

interface Hover {
  point: number;
  left: number;
  top: number;
}

function Drawn({ pack, points }: { pack: Pack; points: Points }) {
  const [headId, setHeadId] = useState<string | null>(null);
  const [lasso, setLasso] = useState(false);
  const [chosen, setChosen] = useState<number[]>([]);
  const [hover, setHover] = useState<Hover | null>(null);
  const judge = useJudge(pack, headId);
  const tint = useMemo(() => tints(points, judge, marked(points, chosen)), [points, judge, chosen]);
  return (
    <>
      <Group mb="xs" justify="space-between">
        <Colouring pack={pack} value={headId} onChange={setHeadId} />
        <Switch
          size="sm"
          label="Draw a lasso"
          checked={lasso}
          onChange={({ currentTarget }) => setLasso(currentTarget.checked)}
        />
      </Group>
      {headId && !judge && (
        <Text size="xs" c="dimmed">
          What this head gets right is not known row by row: it has no validation, or images of it
          are undecodable.
        </Text>
      )}
      <div style={{ position: "relative", border: "1px solid var(--page-line)", borderRadius: 6 }}>
        <MapCanvas
          points={points}
          tint={tint}
          lasso={lasso}
          label={`Map of ${count(points.count)} rows`}
          onHover={(point, left, top) => setHover(point === null ? null : { point, left, top })}
          onChoose={setChosen}
        />
        {hover && <Hovered pack={pack} points={points} hover={hover} />}
      </div>
      <Key pack={pack} points={points} judged={judge !== null} />
      {chosen.length > 0 && (
        <Chosen pack={pack} points={points} chosen={chosen} onNone={() => setChosen([])} />
      )}
    </>
  );
}

function marked(points: Points, chosen: number[]): Uint8Array | null {
  if (!chosen.length) return null;
  const found = new Uint8Array(points.count);
  for (const point of chosen) found[point] = 1;
  return found;
}

interface ColouringProps {
  pack: Pack;
  value: string | null;
  onChange: (headId: string | null) => void;
}

function Colouring({ pack, value, onChange }: ColouringProps) {
  const heads =
    useInfiniteQuery(headsQuery(pack.pack_id)).data?.pages.flatMap((page) => page.items) ?? [];
  const scored = heads.filter((head) => head.metrics.validation_accuracy !== undefined);
  const choices = scored.map((head) => ({
    value: head.head_id,
    label: `right or wrong by ${head.method}, ${percent(head.metrics.validation_accuracy)}`,
  }));
  return (
    <Select
      aria-label="Colour"
      size="xs"
      w={270}
      data={[{ value: "", label: "Colour by class" }, ...choices]}
      value={value ?? ""}
      onChange={(chosen) => onChange(chosen || null)}
    />
  );
}

/** What a head gets right, if its bits are those of all of the split. */
function useJudge(pack: Pack, headId: string | null): Judge | null {
  const head = useQuery({ ...headQuery(headId ?? ""), enabled: headId !== null }).data;
  return useMemo(() => {
    const right = head && head.metrics.validation_right;
    const [start, stop] = pack.splits[plain(head?.params["validation"])] ?? [];
    if (!right || start === undefined || stop === undefined || head.head_id !== headId) return null;
    return head.metrics.validation_rows === stop - start ? { bits: right.bits, start, stop } : null;
  }, [head, headId, pack]);
}

function Hovered({ pack, points, hover }: { pack: Pack; points: Points; hover: Hover }) {
  const row = points.rows[hover.point]!;
  const name = pack.classes[points.labels[hover.point]!] ?? "unlabelled";
  const beside = hover.left + BESIDE;
  return (
    <div
      role="tooltip"
      className="panel"
      style={{
        position: "absolute",
        left: `min(${beside}px, 100% - ${TIP_WIDTH}px)`,
        top: Math.max(0, hover.top - TIP_HEIGHT - BESIDE),
        width: TIP_WIDTH,
        overflowWrap: "anywhere",
        padding: 6,
        pointerEvents: "none",
        fontSize: 12,
        zIndex: 2,
      }}
    >
      <Thumbnail key={row} packId={pack.pack_id} row={row} label={`Row ${row}`} side={72} />
      <div>{name}</div>
      <div style={{ color: "var(--mantine-color-dimmed)" }}>row {count(row)}</div>
    </div>
  );
}
