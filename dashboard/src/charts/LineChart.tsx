/** Lines over a common axis, with a table of their last values for those who do not see them. */

import { useElementSize } from "@mantine/hooks";

import { digits } from "../words/numbers";
import { extent, linear, ticks } from "./scale";

export interface Line {
  name: string;
  colour: string;
  points: [x: number, y: number][];
  dashed?: boolean;
}

interface Props {
  label: string;
  lines: Line[];
  height?: number;
  yRange?: [number, number];
  xRange?: [number, number];
  xName?: string;
  yName?: string;
  word?: (value: number) => string;
  xWord?: (value: number) => string;
}

const LEFT = 44;
const AXIS = 20;
const NAME = 15;

export function LineChart(props: Props) {
  const { label, lines, height = 170, word = digits, xWord = plain } = props;
  const { ref, width } = useElementSize();
  const points = lines.flatMap((line) => line.points);
  const [x0, x1] = props.xRange ?? extent(points.map(([x]) => x));
  const [y0, y1] = props.yRange ?? extent(points.map(([, y]) => y));
  const x = linear([x0, x1], [LEFT, Math.max(LEFT + 1, width - 8)]);
  const foot = height - (props.xName ? NAME : 0);
  const y = linear([y0, y1], [foot - AXIS, 8]);
  return (
    <figure ref={ref} style={{ margin: 0 }}>
      <Legend lines={lines} yName={props.yName} />
      <svg
        className="chart"
        height={height}
        role="img"
        aria-label={`${label}. ${told(lines, word)}`}
      >
        {width > 0 &&
          ticks(y0, y1).map((tick) => (
            <g key={tick}>
              <line className="axis" x1={LEFT} x2={width - 8} y1={y(tick)} y2={y(tick)} />
              <text x={LEFT - 6} y={y(tick) + 4} textAnchor="end">
                {word(tick)}
              </text>
            </g>
          ))}
        {width > 0 &&
          ticks(x0, x1).map((tick) => (
            <text key={tick} x={x(tick)} y={foot - 5} textAnchor="middle">
              {xWord(tick)}
            </text>
          ))}
        {props.xName && (
          <text x={(LEFT + width) / 2} y={height - 3} textAnchor="middle">
            {props.xName}
          </text>
        )}
        {width > 0 &&
          lines.map(({ name, colour, points: mine, dashed }) => (
            <g key={name}>
              <polyline
                className="line"
                stroke={colour}
                strokeDasharray={dashed ? "4 3" : undefined}
                points={mine.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ")}
              />
              {mine.length < 30 &&
                mine.map(([a, b]) => (
                  <circle key={a} cx={x(a)} cy={y(b)} r={2.2} fill={colour}>
                    <title>{`${name}, ${props.xName ?? "x"} ${digits(a)}: ${word(b)}`}</title>
                  </circle>
                ))}
            </g>
          ))}
      </svg>
    </figure>
  );
}

function told(lines: Line[], word: (value: number) => string): string {
  return lines
    .map((line) => `${line.name}: ${word(line.points.at(-1)?.[1] ?? NaN)} at the end`)
    .join("; ");
}

const plain = (value: number): string => value.toLocaleString("en-GB");

/** One line needs no name: the picture has one. */
function Legend({ lines, yName }: { lines: Line[]; yName: string | undefined }) {
  if (lines.length < 2 && !yName) return null;
  return (
    <figcaption style={{ display: "flex", gap: 14, flexWrap: "wrap", fontSize: 12 }}>
      {yName && <span style={{ color: "var(--mantine-color-dimmed)" }}>{yName}</span>}
      {lines.map((line) => (
        <span key={line.name} style={{ display: "inline-flex", alignItems: "center", gap: 5 }}>
          <svg width="16" height="4" aria-hidden="true">
            <line
              x2="16"
              y1="2"
              y2="2"
              stroke={line.colour}
              strokeWidth="2.5"
              strokeDasharray={line.dashed ? "4 3" : undefined}
            />
          </svg>
          {line.name}
        </span>
      ))}
    </figcaption>
  );
}
