/** What changed from one text to another, in whole words: the part that both begin with, then what was and what is. Pure. */
export interface Change {
  readonly kept: string
  readonly was: string
  readonly now: string
}

/** Where a word ends: nobody reads half a word struck out. */
const gap = /\s/

export function change(before: string, after: string): Change {
  let at = 0
  while (at < before.length && at < after.length && before[at] === after[at]) at++
  const ends = (text: string) => at === text.length || gap.test(text[at] ?? '')
  if (!ends(before) || !ends(after)) while (at > 0 && !gap.test(before[at - 1] ?? '')) at--
  return { kept: before.slice(0, at), was: before.slice(at), now: after.slice(at) }
}
