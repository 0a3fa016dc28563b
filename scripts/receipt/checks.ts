/** What was checked of a receipt file and how it came out: the lines of the report. */

export interface Check {
  /** A few words. */
  readonly name: string
  /** `open`: nothing speaks against it, but nothing proves it either. */
  readonly verdict: 'ok' | 'wrong' | 'open'
  /** What was found; of what is wrong, where. */
  readonly says: string
  /** Of many wrong things the first few, each with its place. */
  readonly wrong: readonly string[]
}

/** More tell a reader nothing new. */
const mostListed = 5

export const ok = (name: string, says: string): Check => ({ name, verdict: 'ok', says, wrong: [] })
export const open = (name: string, says: string): Check => ({ name, verdict: 'open', says, wrong: [] })

/** Right when nothing is wrong. */
export function judged(name: string, wrong: readonly string[], says: string): Check {
  if (wrong.length === 0) return ok(name, says)
  const more = wrong.length > mostListed ? ` and ${wrong.length - mostListed} more` : ''
  return {
    name,
    verdict: 'wrong',
    says: `${wrong[0]}${wrong.length > 1 ? ` (${wrong.length - 1} more)` : ''}`,
    wrong: [...wrong.slice(0, mostListed), ...(more ? [more.trim()] : [])],
  }
}

/** 1 chunk, 2 chunks. */
export const counted = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`
