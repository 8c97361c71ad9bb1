import { useState } from "react";

interface Props {
  packId: string;
  row: number;
  label: string;
  side?: number;
}

/** The image of a row, where it still can be reached. */
export function Thumbnail({ packId, row, label, side = 64 }: Props) {
  const [missing, setMissing] = useState(false);
  const box = {
    width: side,
    height: side,
    borderRadius: 4,
    background: "var(--page-line)",
    flex: "none",
  };
  if (missing)
    return (
      <div style={{ ...box, display: "grid", placeItems: "center", fontSize: 11 }} title={label}>
        no image
      </div>
    );
  return (
    <img
      src={`/v1/packs/${packId}/rows/${row}/thumbnail?size=${2 * side}`}
      alt={label}
      width={side}
      height={side}
      loading="lazy"
      decoding="async"
      style={{ ...box, objectFit: "contain", imageRendering: "pixelated" }}
      onError={() => setMissing(true)}
    />
  );
}
