/**
 * How sure an answer is by now, in a title and a sentence: provisional, settled, agreed or corrected. Pure.
 */
import { m } from '../../paraglide/messages.js'
import type { Receipt } from '../../../sdk/types.ts'
import { count } from './numbers.ts'
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

export function checkedWords(of: Checked): CheckedWords {
  if (of.correcting !== undefined) {
    const next = of.unheard ? m.words_wrong_lost() : m.words_wrong_again()
    return { state: 'wrong', title: m.words_wrong(), text: `${of.correcting} ${next}`, tone: 'bad' }
  }
  if (of.corrected !== undefined) {
    const text = `${of.corrected} ${m.words_corrected_text()}${again(of.receipt)}`
    return { state: 'corrected', title: m.words_corrected(), text, tone: 'good' }
  }
  if (of.pipelines > 1) {
    const two = of.pipelines === 2
    return of.done
      ? { state: 'agreed', title: m.words_agreed(), text: two ? m.words_agreed_two() : m.words_agreed_three(), tone: 'good' }
      : {
          state: 'agreed',
          title: m.words_agreed_so_far(),
          text: two ? m.words_agreed_so_far_two() : m.words_agreed_so_far_three(),
          tone: 'wait',
        }
  }
  if (of.receipt && of.receipt.status !== 'provisional')
    return { state: 'settled', title: m.words_settled(), text: settledText(of.receipt), tone: 'good' }
  const text = !of.done ? m.words_provisional_unchecked() : of.unheard ? m.words_provisional_unheard() : m.words_provisional_now()
  return { state: 'provisional', title: m.words_provisional(), text, tone: of.unheard ? 'rest' : 'wait' }
}

const settledText = ({ audits: { done, of } }: Receipt): string =>
  done === 0 ? m.words_settled_none() : m.words_settled_some({ n: of, done: count(done) })

const again = (receipt: Receipt | undefined): string =>
  receipt && receipt.audits.done > 0 ? ` ${m.words_again_some({ n: receipt.audits.of, done: count(receipt.audits.done) })}` : ''
