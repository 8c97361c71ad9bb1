import { ago } from "../words/numbers";

/** How long ago (`bare` without the word, where a heading says it), with the exact time when hovered. */
export function Moment({ at, bare }: { at: string | null | undefined; bare?: boolean }) {
  if (!at) return <span>–</span>;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {bare ? ago(at).replace(" ago", "") : ago(at)}
    </time>
  );
}
