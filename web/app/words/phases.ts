/**
 * The phases of giving, in plain words and in the colour they are shown with.
 */
import { m } from '../../paraglide/messages.js'
import type { DonationPhase } from '../../../sdk/types.ts'
import { said, type Said } from './said.ts'

export type Tone = 'good' | 'wait' | 'rest' | 'bad'

export const phaseWords: Readonly<Record<DonationPhase, Said<'title'> & { readonly tone: Tone }>> = {
  elsewhere: said({ title: m.words_phase_elsewhere }, { tone: 'rest' }),
  connecting: said({ title: m.words_phase_connecting }, { tone: 'wait' }),
  waiting: said({ title: m.words_phase_waiting }, { tone: 'wait' }),
  fetching: said({ title: m.words_phase_fetching }, { tone: 'wait' }),
  preparing: said({ title: m.words_phase_preparing }, { tone: 'wait' }),
  checking: said({ title: m.words_phase_checking }, { tone: 'wait' }),
  serving: said({ title: m.words_phase_serving }, { tone: 'good' }),
  paused: said({ title: m.words_phase_paused }, { tone: 'rest' }),
  stopped: said({ title: m.words_phase_stopped }, { tone: 'rest' }),
  failed: said({ title: m.words_phase_failed }, { tone: 'bad' }),
}
