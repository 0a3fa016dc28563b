import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import { commitTries, patientCommit } from './patient-commit.ts'

const what = { cell: 'a', epoch: 1, writes: [] }
const atOnce = () => Promise.resolve()
const store = (outcomes: readonly (ManyhandsError | 'ok' | 'stale')[]) => {
  let tries = 0
  const commit = (): Promise<'ok' | 'stale'> => {
    const outcome = outcomes[Math.min(tries++, outcomes.length - 1)] ?? 'ok'
    return outcome instanceof ManyhandsError ? Promise.reject(outcome) : Promise.resolve(outcome)
  }
  return { commit, tries: () => tries }
}
const away = new ManyhandsError('unavailable', 'The database does not answer.')

describe('a commit', () => {
  it('is sent again until the store is back, and its word is the outcome', async () => {
    for (const outcome of ['ok', 'stale'] as const) {
      const s = store([away, away, outcome])
      expect(await patientCommit(s, what, new AbortController().signal, atOnce)).toBe(outcome)
      expect(s.tries()).toBe(3)
    }
  })

  it('fails in the end, at once for another reason, and soon when the server goes', async () => {
    const s = store([away])
    await expect(patientCommit(s, what, new AbortController().signal, atOnce)).rejects.toBe(away)
    expect(s.tries()).toBe(commitTries)
    const full = new ManyhandsError('bad-input', 'Too much.')
    await expect(patientCommit(store([full]), what, new AbortController().signal, atOnce)).rejects.toBe(full)
    const going = new AbortController()
    const t = store([away])
    const failed = patientCommit(t, what, going.signal)
    going.abort()
    await expect(failed).rejects.toBe(away)
    expect(t.tries()).toBeLessThanOrEqual(2)
  })
})
