import { ago } from "../words/numbers";

/** How long ago, with the exact time when hovered. */
export function Moment({ at }: { at: string | null | undefined }) {
  if (!at) return <span>–</span>;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ago(at)}
    </time>
  );
}
