/**
 * How sure an answer is by now, in a title and a sentence: provisional, settled, agreed or corrected. Pure.
 */
import type { Receipt } from '../../../sdk/types.ts'
import { count, counted } from './numbers.ts'
import type { Tone } from './phases.ts'

export interface Checked {
  /** Groups of volunteers that had to agree. */
  readonly pipelines: number
  /** It is all there. */
  readonly done: boolean
  /** Why it is being asked again, while it is. */
  readonly correcting: string | undefined
  /** Why it was asked again. */
  readonly corrected: string | undefined
  /** The latest. */
  readonly receipt: Receipt | undefined
  /** No more is to be heard of it. */
  readonly unheard: boolean
}

export interface CheckedWords {
  readonly state: 'provisional' | 'settled' | 'agreed' | 'wrong' | 'corrected'
  readonly title: string
  readonly text: string
  readonly tone: Tone
}

const groups = ['', '', 'Two', 'Three']

export function checkedWords(of: Checked): CheckedWords {
  if (of.correcting !== undefined) {
    const next = of.unheard ? 'Nobody could compute it again: don’t rely on it.' : 'It is being computed again.'
    return { state: 'wrong', title: 'Found wrong', text: `${of.correcting} ${next}`, tone: 'bad' }
  }
  if (of.corrected !== undefined)
    return {
      state: 'corrected',
      title: 'Corrected',
      text: `${of.corrected} This is what others came to instead.${again(of.receipt)}`,
      tone: 'good',
    }
  if (of.pipelines > 1) {
    const who = `${groups[of.pipelines]} groups of volunteers who share nobody`
    return of.done
      ? { state: 'agreed', title: 'Agreed', text: `${who} came to the same answer.`, tone: 'good' }
      : {
          state: 'agreed',
          title: 'Agreed so far',
          text: `You see only what all of them have said: ${groups[of.pipelines]?.toLowerCase()} groups who share nobody.`,
          tone: 'wait',
        }
  }
  if (of.receipt && of.receipt.status !== 'provisional')
    return { state: 'settled', title: 'Settled', text: settledText(of.receipt), tone: 'good' }
  const text = !of.done
    ? 'Nobody has checked it yet.'
    : of.unheard
      ? 'No word came on whether others computed it again.'
      : 'Others may compute parts of it again now.'
  return { state: 'provisional', title: 'Provisional', text, tone: of.unheard ? 'rest' : 'wait' }
}

function settledText({ audits: { done, of } }: Receipt): string {
  if (done === 0) return 'Nothing of it was computed again: it was not drawn, or those who could had left.'
  return `${count(done)} of ${counted(of, 'chunk')} computed again by others, with the same outcome.`
}

const again = (receipt: Receipt | undefined) =>
  receipt && receipt.audits.done > 0 ? ` ${count(receipt.audits.done)} of ${counted(receipt.audits.of, 'chunk')} were computed again.` : ''
