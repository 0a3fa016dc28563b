/**
 * What a screen reader hears of a streamed answer: whole sentences, not every token. Pure; used by answer.svelte.
 */

/** A sentence's end, or a line's. */
const sentenceEnd = /[.!?…。！？]["'”’)\]]*\s|\n/g

/** A sentence as long as this is said up to its last space, so that a list without stops is heard too. */
const longestSilence = 240

/**
 * The next piece of `text` to say after its first `said` characters; `''` when no sentence is complete yet.
 * @param over the answer has ended: say the rest
 */
export function nextSpoken(text: string, said: number, over: boolean): string {
  const rest = text.slice(said)
  if (over) return rest
  const end = [...rest.matchAll(sentenceEnd)].at(-1)
  if (end) return rest.slice(0, end.index + end[0].length)
  return rest.length < longestSilence ? '' : rest.slice(0, rest.lastIndexOf(' ') + 1)
}
