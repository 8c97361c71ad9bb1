/** Which part of the map is seen. Places are within −1 and 1, y up; pixels are y down. */

export interface Camera {
  x: number;
  y: number;
  /** 1 shows the whole map. */
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
  /** How far from the middle the points reach. */
  reach: [x: number, y: number];
}

export const WHOLE: Camera = { x: 0, y: 0, zoom: 1 };
const MARGIN = 0.94;
const MOST = 400;

/** Points on a line, or in one place, are not drawn infinitely large. */
const LEAST = 0.05;

/** Pixels for one unit: all points fit, neither way stretched. */
export function unit(camera: Camera, { width, height, reach: [x, y] }: Size): number {
  return (
    (MARGIN * camera.zoom * Math.min(width / Math.max(x, LEAST), height / Math.max(y, LEAST))) / 2
  );
}

export function toPixel(camera: Camera, size: Size, x: number, y: number): [number, number] {
  const scale = unit(camera, size);
  return [size.width / 2 + (x - camera.x) * scale, size.height / 2 - (y - camera.y) * scale];
}

export function toPlace(camera: Camera, size: Size, left: number, top: number): [number, number] {
  const scale = unit(camera, size);
  return [camera.x + (left - size.width / 2) / scale, camera.y - (top - size.height / 2) / scale];
}

/** Nearer or farther, with what lies under the pointer staying there. */
export function zoomed(
  camera: Camera,
  size: Size,
  factor: number,
  left: number,
  top: number,
): Camera {
  const zoom = Math.min(MOST, Math.max(0.5, camera.zoom * factor));
  const [x, y] = toPlace(camera, size, left, top);
  const after = { ...camera, zoom };
  const [x2, y2] = toPlace(after, size, left, top);
  return { zoom, x: camera.x + x - x2, y: camera.y + y - y2 };
}

export function moved(camera: Camera, size: Size, dx: number, dy: number): Camera {
  const scale = unit(camera, size);
  return { ...camera, x: camera.x - dx / scale, y: camera.y + dy / scale };
}
