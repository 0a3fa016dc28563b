/** How far this tab is trusted and why, in plain words. Pure. */
import { m } from '../../paraglide/messages.js'
import type { StandingInfo } from '../../../sdk/types.ts'
import { count } from './numbers.ts'
import type { Tone } from './phases.ts'

export interface StandingWords {
  readonly title: string
  readonly text: string
  readonly tone: Tone
}

export function standingWords({ state, agreements, needed, strikes }: StandingInfo): StandingWords {
  switch (state) {
    case 'new': {
      const way = m.words_standing_new_text({ n: needed, agreements: count(agreements) })
      return { title: m.words_standing_new(), text: strikes > 0 ? `${way} ${m.words_standing_anew()}` : way, tone: 'wait' }
    }
    case 'proven': {
      const agreed = m.words_standing_agreed({ n: agreements })
      return { title: m.words_standing_proven(), text: `${agreed} ${m.words_standing_proven_text()}`, tone: 'good' }
    }
    case 'anchor':
      return { title: m.words_standing_anchor(), text: m.words_standing_anchor_text(), tone: 'good' }
    case 'barred':
      return { title: m.words_standing_barred(), text: m.words_standing_barred_text({ n: strikes }), tone: 'bad' }
  }
}
