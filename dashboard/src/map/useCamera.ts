/** The map is moved and zoomed with pointer, wheel, fingers' pinch (a wheel too) and keys. */

import { useEffect, useState, type KeyboardEvent, type RefObject } from "react";

import { moved, WHOLE, zoomed, type Camera, type Size } from "./camera";

const STEP = 40;
const NEARER = 1.3;

export function useCamera(frame: RefObject<HTMLElement | null>, size: Size) {
  const [camera, setCamera] = useState<Camera>(WHOLE);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      event.preventDefault(); // the page must not scroll, so this listener may not be passive
      const box = element.getBoundingClientRect();
      const factor = Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015));
      setCamera((now) =>
        zoomed(now, size, factor, event.clientX - box.left, event.clientY - box.top),
      );
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, [frame, size]);
  const middle = (factor: number) =>
    setCamera((now) => zoomed(now, size, factor, size.width / 2, size.height / 2));
  const key = (event: KeyboardEvent) => {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    if (dx || dy) setCamera((now) => moved(now, size, dx * STEP, dy * STEP));
    else if (event.key === "+" || event.key === "=") middle(NEARER);
    else if (event.key === "-") middle(1 / NEARER);
    else if (event.key === "0") setCamera(WHOLE);
    else return;
    event.preventDefault();
  };
  return {
    camera,
    setCamera,
    key,
    nearer: () => middle(NEARER),
    farther: () => middle(1 / NEARER),
  };
}

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [1, 0],
  ArrowRight: [-1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};
