/** Which packs are chosen: a click, a range with shift, all of the page. */

export interface Selection {
  chosen: ReadonlySet<string>;
  /** Where a range begins. */
  anchor: string | null;
}

export const NOTHING: Selection = { chosen: new Set(), anchor: null };

/** One pack chosen or not; with `range`, all between the last one and this become like it. */
export function toggled(
  selection: Selection,
  id: string,
  ids: string[],
  range: boolean,
): Selection {
  const chosen = new Set(selection.chosen);
  const on = !chosen.has(id);
  const from = range && selection.anchor !== null ? ids.indexOf(selection.anchor) : -1;
  const to = ids.indexOf(id);
  const touched = from < 0 ? [id] : ids.slice(Math.min(from, to), Math.max(from, to) + 1);
  for (const one of touched) {
    if (on) chosen.add(one);
    else chosen.delete(one);
  }
  return { chosen, anchor: id };
}

/** All of the page, or none of it if all were chosen; other pages' stay. */
export function toggledAll(selection: Selection, ids: string[]): Selection {
  const chosen = new Set(selection.chosen);
  const all = ids.every((id) => chosen.has(id));
  for (const id of ids) {
    if (all) chosen.delete(id);
    else chosen.add(id);
  }
  return { chosen, anchor: null };
}
