import { useElementSize } from "@mantine/hooks";

import { count, digits } from "../words/numbers";
import { linear, ticks } from "./scale";

interface Props {
  label: string;
  edges: number[];
  counts: number[];
  height?: number;
}

/** How often values lie between two edges. */
export function Histogram({ label, edges, counts, height = 110 }: Props) {
  const { ref, width } = useElementSize();
  const [low, high] = [edges[0] ?? 0, edges.at(-1) ?? 1];
  const x = linear([low, high], [4, Math.max(5, width - 4)]);
  const y = linear([0, Math.max(1, ...counts)], [0, height - 24]);
  return (
    <div ref={ref}>
      <svg
        className="chart"
        height={height}
        role="img"
        aria-label={`${label}, from ${digits(low)} to ${digits(high)}`}
      >
        {width > 0 &&
          counts.map((many, bin) => {
            const [from, to] = [edges[bin] ?? low, edges[bin + 1] ?? high];
            return (
              <rect
                key={bin}
                x={x(from)}
                width={Math.max(0.5, x(to) - x(from) - 1)}
                y={height - 20 - y(many)}
                height={y(many)}
                fill="var(--page-accent)"
              >
                <title>{`${digits(from)} to ${digits(to)}: ${count(many)} rows`}</title>
              </rect>
            );
          })}
        <line className="axis" x1={0} x2={width} y1={height - 19.5} y2={height - 19.5} />
        {width > 0 &&
          ticks(low, high, 5).map((tick) => (
            <text key={tick} x={x(tick)} y={height - 5} textAnchor="middle">
              {digits(tick)}
            </text>
          ))}
      </svg>
    </div>
  );
}
