/** The points, and what a pointer does over them: hover, move, draw a lasso. */

import { Button, Group } from "@mantine/core";
import { useElementSize, useMergedRef } from "@mantine/hooks";
import { useEffect, useMemo, useRef, useState, type PointerEvent } from "react";

import { moved, toPixel, toPlace, unit, WHOLE, type Camera, type Size } from "./camera";
import { Lookup } from "./lookup";
import { Painter } from "./painter";
import type { Points } from "./points";
import { useCamera } from "./useCamera";

interface Props {
  points: Points;
  tint: Uint8Array;
  lasso: boolean;
  label: string;
  onHover: (point: number | null, left: number, top: number) => void;
  onLasso: (points: number[]) => void;
}

const HEIGHT = 460;
const REACH = 9;

export function MapCanvas({ points, tint, lasso, label, onHover, onLasso }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const { ref, width } = useElementSize();
  const size = useMemo(() => ({ width, height: HEIGHT, reach: points.reach }), [width, points]);
  const { camera, setCamera, key, nearer, farther } = useCamera(frame, size);
  const lookup = useMemo(() => new Lookup(points.places), [points]);
  const [line, setLine] = useState<number[]>([]);
  const hand = useRef<{ left: number; top: number } | null>(null);
  usePainting(canvas, points, tint, camera, size);

  const at = (event: PointerEvent): [number, number] => {
    const box = frame.current!.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const down = (event: PointerEvent) => {
    const [left, top] = at(event);
    frame.current!.setPointerCapture(event.pointerId);
    hand.current = { left, top };
    if (lasso) setLine(toPlace(camera, size, left, top));
  };
  const move = (event: PointerEvent) => {
    const [left, top] = at(event);
    const [x, y] = toPlace(camera, size, left, top);
    const held = hand.current;
    if (!held) {
      const point = lookup.nearest(x, y, REACH / unit(camera, size));
      onHover(point < 0 ? null : point, left, top);
      return;
    }
    onHover(null, 0, 0);
    if (lasso) setLine((before) => [...before, x, y]);
    else setCamera((now) => moved(now, size, left - held.left, top - held.top));
    hand.current = { left, top };
  };
  const up = () => {
    if (lasso && hand.current) onLasso(lookup.inside(line));
    hand.current = null;
    setLine([]);
  };
  const drawn = line.flatMap((_, index) =>
    index % 2 ? [] : [toPixel(camera, size, line[index]!, line[index + 1]!).join(",")],
  );
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- an application takes keys
    <div
      ref={useMergedRef(ref, frame)}
      role="application"
      aria-label={`${label}. Arrow keys move it, plus and minus zoom, 0 shows all.`}
      tabIndex={0}
      onKeyDown={key}
      onPointerDown={down}
      onPointerMove={move}
      onPointerUp={up}
      onPointerCancel={up}
      onPointerLeave={() => onHover(null, 0, 0)}
      style={{
        position: "relative",
        height: HEIGHT,
        touchAction: "none",
        cursor: lasso ? "crosshair" : "grab",
      }}
    >
      <canvas ref={canvas} style={{ width: "100%", height: HEIGHT, display: "block" }} />
      {drawn.length > 1 && (
        <svg
          style={{ position: "absolute", inset: 0, pointerEvents: "none" }}
          width="100%"
          height={HEIGHT}
        >
          <polygon
            points={drawn.join(" ")}
            fill="var(--page-accent)"
            fillOpacity={0.12}
            stroke="var(--page-accent)"
          />
        </svg>
      )}
      <Group
        gap={4}
        style={{ position: "absolute", right: 8, bottom: 8 }}
        onPointerDown={(event) => event.stopPropagation()}
      >
        <Button variant="default" size="compact-xs" onClick={nearer} aria-label="Nearer">
          +
        </Button>
        <Button variant="default" size="compact-xs" onClick={farther} aria-label="Farther">
          −
        </Button>
        <Button variant="default" size="compact-xs" onClick={() => setCamera(WHOLE)}>
          All
        </Button>
      </Group>
    </div>
  );
}

function usePainting(
  canvas: React.RefObject<HTMLCanvasElement | null>,
  points: Points,
  tint: Uint8Array,
  camera: Camera,
  size: Size,
) {
  const painter = useRef<Painter | null>(null);
  useEffect(() => {
    painter.current ??= new Painter(canvas.current!);
    painter.current.setPlaces(points.places);
  }, [canvas, points]);
  useEffect(() => painter.current?.setColours(tint), [tint, points]);
  useEffect(() => {
    if (!size.width) return;
    const frame = requestAnimationFrame(() => {
      painter.current?.draw(camera, size);
      performance.mark("map-drawn");
    });
    return () => cancelAnimationFrame(frame);
  }, [camera, size, points, tint]);
}
