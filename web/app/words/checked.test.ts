import { describe, expect, it } from 'vitest'
import { sampleReceipt } from '../../../testing/sample-receipts.ts'
import { checkedWords, type Checked } from './checked.ts'

const words = (of: Partial<Checked> = {}) =>
  checkedWords({ pipelines: 1, done: true, correcting: undefined, corrected: undefined, receipt: undefined, unheard: false, ...of })

describe('how sure an answer is', () => {
  it('is provisional until its last receipt has come, and says so when none does', () => {
    expect(words({ done: false })).toMatchObject({ state: 'provisional', text: 'Nobody has checked it yet.' })
    expect(words({ receipt: sampleReceipt(1) })).toMatchObject({ state: 'provisional', tone: 'wait' })
    expect(words({ unheard: true })).toMatchObject({ state: 'provisional', tone: 'rest' })
  })

  it('settles with how much others computed again, if any', () => {
    const settled = (done: number) => words({ receipt: sampleReceipt(1, { status: 'settled', audits: { done, of: 31 } }) })
    expect(settled(12)).toMatchObject({ state: 'settled', text: '12 of 31 chunks computed again by others, with the same outcome.' })
    expect(settled(0)).toMatchObject({ state: 'settled', text: expect.stringContaining('it was not drawn') })
  })

  it('is agreed on when groups were to agree', () => {
    expect(words({ pipelines: 2, done: false })).toMatchObject({ state: 'agreed', title: 'Agreed so far' })
    expect(words({ pipelines: 3 }).text).toMatch(/^Three groups/)
  })

  it('says what was found wrong, whether it is computed again, and when it was corrected', () => {
    const correcting = 'A volunteer’s numbers were off.'
    expect(words({ correcting })).toMatchObject({ state: 'wrong', text: `${correcting} It is being computed again.` })
    expect(words({ correcting, unheard: true }).text).toContain('don’t rely on it')
    expect(words({ corrected: correcting })).toMatchObject({ state: 'corrected', title: 'Corrected' })
    const receipt = sampleReceipt(1, { status: 'corrected', audits: { done: 3, of: 9 } })
    expect(words({ corrected: correcting, receipt }).text).toMatch(/3 of 9 chunks were computed again\.$/)
  })
})
