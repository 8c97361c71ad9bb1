import { ago } from "../words/numbers";

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** How long ago (`bare` without the word, where a heading says it), with the exact time when hovered. */
export function Moment({ at, bare }: { at: string | null | undefined; bare?: boolean }) {
  if (!at) return <span>–</span>;
  return (
    <time dateTime={at} title={EXACT.format(new Date(at))}>
      {bare ? ago(at).replace(" ago", "") : ago(at)}
    </time>
  );
}
