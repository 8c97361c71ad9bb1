import type { Pack } from "../api/shapes";
import { classColour } from "../charts/colours";
import type { Points } from "./points";

interface Props {
  pack: Pack;
  points: Points;
  judged: boolean;
}

const SHOWN = 24;

/** What the colours of a map mean. */
export function Key({ pack, points, judged }: Props) {
  const names: [string, string][] = judged
    ? [
        ["right", "rgb(0 158 115)"],
        ["wrong", "rgb(213 62 30)"],
        ["not in validation", "rgb(138 143 148)"],
      ]
    : pack.classes.slice(0, SHOWN).map((name, index) => [name, classColour(index)]);
  return (
    <ul
      aria-label="Colours"
      style={{
        display: "flex",
        flexWrap: "wrap",
        gap: "4px 14px",
        padding: 0,
        margin: "8px 0",
        fontSize: 12,
      }}
    >
      {names.map(([name, colour]) => (
        <li key={name} style={{ display: "inline-flex", alignItems: "center", gap: 5 }}>
          <span
            style={{ width: 9, height: 9, borderRadius: 9, background: colour }}
            aria-hidden="true"
          />
          {name}
        </li>
      ))}
      {!judged && pack.classes.length > SHOWN && <li style={{ listStyle: "none" }}>and more</li>}
      <li style={{ listStyle: "none", marginLeft: "auto", color: "var(--mantine-color-dimmed)" }}>
        {points.count.toLocaleString("en-GB")} of {pack.rows.toLocaleString("en-GB")} rows
      </li>
    </ul>
  );
}
