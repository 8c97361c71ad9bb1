/** Network × dataset, shaded by accuracy. */

import { Link } from "@tanstack/react-router";

import { shade } from "../charts/colours";
import { extent, linear } from "../charts/scale";
import { percent } from "../words/numbers";
import type { Grid } from "./grid";

/** Smaller differences than this do not fill the whole range of shades. */
const LEAST_SPAN = 0.2;

export function HeatMap({ grid }: { grid: Grid }) {
  const [low, high] = extent(grid.cells.flat().map((cell) => cell?.accuracy));
  const share = linear([Math.min(low, high - LEAST_SPAN), high], [0.15, 1]);
  return (
    <div style={{ overflow: "auto" }}>
      <table className="heat" aria-label="Best validation accuracy by network and dataset">
        <thead>
          <tr>
            <td />
            {grid.datasets.map((dataset) => (
              <th key={dataset} scope="col">
                {dataset}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {grid.networks.map((network, row) => (
            <tr key={network}>
              <th scope="row">{network}</th>
              {grid.cells[row]!.map((cell, column) => (
                <td key={grid.datasets[column]}>
                  {cell ? (
                    <Link
                      to="/heads/$headId"
                      params={{ headId: cell.head_id }}
                      title={`${network} on ${grid.datasets[column]}: by ${cell.method}, ${cell.pack.tap ?? ""}`}
                      style={{ background: shade(share(cell.accuracy)) }}
                    >
                      {percent(cell.accuracy)}
                    </Link>
                  ) : (
                    <span title="no head is scored">·</span>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
