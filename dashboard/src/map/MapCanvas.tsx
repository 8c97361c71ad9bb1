/** The points, and what a pointer does over them: hover, click, move, draw a lasso. */

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
  onChoose: (points: number[]) => void;
}

const HEIGHT = 460;
const REACH = 9;

/** A hand that moves less has clicked. */
const STILL = 4;

/** Where a pressed pointer is, and how far it went. */
interface Hand {
  left: number;
  top: number;
  far: number;
}

export function MapCanvas({ points, tint, lasso, label, onHover, onChoose }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const { ref, width } = useElementSize();
  const size = useMemo(() => ({ width, height: HEIGHT, reach: points.reach }), [width, points]);
  const { camera, setCamera, key, nearer, farther } = useCamera(frame, size);
  const lookup = useMemo(() => new Lookup(points.places), [points]);
  const [line, setLine] = useState<number[]>([]);
  const hand = useRef<Hand | null>(null);
  usePainting(canvas, points, tint, camera, size);

  const at = (event: PointerEvent): [number, number] => {
    const box = frame.current!.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const under = (left: number, top: number): number | null => {
    const point = lookup.nearest(...toPlace(camera, size, left, top), REACH / unit(camera, size));
    return point < 0 ? null : point;
  };
  const down = (event: PointerEvent) => {
    const [left, top] = at(event);
    frame.current!.setPointerCapture(event.pointerId);
    hand.current = { left, top, far: 0 };
    if (lasso) setLine(toPlace(camera, size, left, top));
  };
  const move = (event: PointerEvent) => {
    const [left, top] = at(event);
    const held = hand.current;
    if (!held) {
      onHover(under(left, top), left, top);
      return;
    }
    onHover(null, 0, 0);
    const [dx, dy] = [left - held.left, top - held.top];
    if (lasso) setLine((before) => [...before, ...toPlace(camera, size, left, top)]);
    else setCamera((now) => moved(now, size, dx, dy));
    hand.current = { left, top, far: held.far + Math.hypot(dx, dy) };
  };
  const up = () => {
    const held = hand.current;
    if (held && lasso) onChoose(lookup.inside(line));
    else if (held && held.far < STILL) {
      const point = under(held.left, held.top);
      onChoose(point === null ? [] : [point]);
    }
    hand.current = null;
    setLine([]);
  };
  const cancel = () => {
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
      onPointerCancel={cancel}
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
