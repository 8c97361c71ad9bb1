/** Which point is nearest to a place, which lie within a line drawn around them. */

const SIDE = 128;

/** Points by the square that they lie in, so that only a few are looked at. */
export class Lookup {
  private readonly begin: Uint32Array;
  private readonly order: Uint32Array;

  /** `places` are x and y by turns, within −1 and 1. */
  constructor(private readonly places: Float32Array) {
    const count = places.length / 2;
    const cells = new Uint32Array(count);
    this.begin = new Uint32Array(SIDE * SIDE + 1);
    for (let point = 0; point < count; point++) {
      const cell = column(places[2 * point]!) + SIDE * column(places[2 * point + 1]!);
      cells[point] = cell;
      this.begin[cell + 1]!++;
    }
    for (let cell = 0; cell < SIDE * SIDE; cell++) this.begin[cell + 1]! += this.begin[cell]!;
    this.order = new Uint32Array(count);
    const next = this.begin.slice();
    for (let point = 0; point < count; point++) this.order[next[cells[point]!]!++] = point;
  }

  /** The nearest point within a distance, or −1. */
  nearest(x: number, y: number, within: number): number {
    let [best, least] = [-1, within * within];
    this.each(x - within, y - within, x + within, y + within, (point) => {
      const dx = this.places[2 * point]! - x;
      const dy = this.places[2 * point + 1]! - y;
      const distance = dx * dx + dy * dy;
      if (distance <= least) [best, least] = [point, distance];
    });
    return best;
  }

  /** The points within a closed line, of x and y by turns, in their order. */
  inside(line: number[]): number[] {
    if (line.length < 6) return [];
    const xs = line.filter((_, index) => index % 2 === 0);
    const ys = line.filter((_, index) => index % 2 === 1);
    const found: number[] = [];
    this.each(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (point) => {
      if (isInside(line, this.places[2 * point]!, this.places[2 * point + 1]!)) found.push(point);
    });
    return found.sort((a, b) => a - b);
  }

  private each(
    x0: number,
    y0: number,
    x1: number,
    y1: number,
    look: (point: number) => void,
  ): void {
    for (let row = column(y0); row <= column(y1); row++)
      for (let cell = column(x0) + SIDE * row; cell <= column(x1) + SIDE * row; cell++)
        for (let at = this.begin[cell]!; at < this.begin[cell + 1]!; at++) look(this.order[at]!);
  }
}

const column = (place: number): number =>
  Math.min(SIDE - 1, Math.max(0, Math.floor(((place + 1) / 2) * SIDE)));

/** Whether a ray from the place to the right crosses the closed line an odd number of times. */
export function isInside(line: number[], x: number, y: number): boolean {
  let inside = false;
  const corners = line.length / 2;
  for (let one = 0, before = corners - 1; one < corners; before = one++) {
    const [x1, y1, x2, y2] = [
      line[2 * one]!,
      line[2 * one + 1]!,
      line[2 * before]!,
      line[2 * before + 1]!,
    ];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}
