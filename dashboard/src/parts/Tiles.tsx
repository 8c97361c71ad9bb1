import { Tooltip } from "@mantine/core";

export interface Tile {
  name: string;
  value: string;
  beside?: string;
  /** How it is counted. */
  explained?: string | undefined;
  /** Takes the room of two. */
  wide?: boolean;
}

/** The few numbers that matter, in a row that does not jump while they come. */
export function Tiles({ tiles, label }: { tiles: Tile[]; label: string }) {
  return (
    <dl className="tiles" aria-label={label} style={{ margin: 0 }}>
      {tiles.map((tile) => (
        <Tooltip
          key={tile.name}
          label={tile.explained}
          disabled={!tile.explained}
          multiline
          w={300}
        >
          <div className="tile" data-wide={tile.wide || undefined}>
            <dt>{tile.name}</dt>
            <dd>
              {tile.value} {tile.beside && <small>{tile.beside}</small>}
            </dd>
          </div>
        </Tooltip>
      ))}
    </dl>
  );
}
