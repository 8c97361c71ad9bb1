/** Bars with their names to the left: a list that is a picture. */

export interface Bar {
  name: string;
  value: number;
  /** What stands at its end. */
  told: string;
  colour?: string;
  hint?: string;
}

interface Props {
  label: string;
  bars: Bar[];
  most?: number;
  maxHeight?: number;
}

export function Bars({ label, bars, most, maxHeight = 320 }: Props) {
  const longest = most ?? Math.max(1e-12, ...bars.map((bar) => bar.value));
  return (
    <div
      style={{ maxHeight, overflowY: "auto" }}
      tabIndex={bars.length > 12 ? 0 : undefined}
      role="group"
      aria-label={label}
    >
      <table style={{ width: "100%", borderSpacing: "0 3px", fontSize: 12.5 }}>
        <caption style={{ display: "none" }}>{label}</caption>
        <tbody>
          {bars.map((bar) => (
            <tr key={bar.name} title={bar.hint}>
              <th scope="row" style={NAME}>
                {bar.name}
              </th>
              <td style={{ width: "100%" }}>
                <div
                  style={{
                    width: `${Math.max(0.4, (100 * bar.value) / longest)}%`,
                    height: 12,
                    borderRadius: 2,
                    background: bar.colour ?? "var(--page-accent)",
                  }}
                />
              </td>
              <td style={{ textAlign: "right", paddingLeft: 8, whiteSpace: "nowrap" }}>
                {bar.told}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const NAME = {
  textAlign: "right",
  fontWeight: 400,
  paddingRight: 8,
  maxWidth: 160,
  overflow: "hidden",
  textOverflow: "ellipsis",
  whiteSpace: "nowrap",
} as const;
