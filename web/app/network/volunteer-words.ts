/** How a volunteer is and how far it is trusted, in words and in colour. */
import { m } from '../../paraglide/messages.js'
import type { ShownVolunteer } from '../../../protocol/overview.ts'
import type { Tone } from '../words/phases.ts'
import { said, type Said } from '../words/said.ts'

export const stateWords: Readonly<Record<ShownVolunteer['state'], Said<'title'> & { readonly tone: Tone }>> = {
  serving: said({ title: m.network_state_serving }, { tone: 'good' }),
  loading: said({ title: m.network_state_loading }, { tone: 'wait' }),
  waiting: said({ title: m.network_state_waiting }, { tone: 'wait' }),
  paused: said({ title: m.network_state_paused }, { tone: 'rest' }),
  leaving: said({ title: m.network_state_leaving }, { tone: 'rest' }),
  away: said({ title: m.network_state_away }, { tone: 'rest' }),
}

export const trustWords: Readonly<Said<ShownVolunteer['trust']>> = said(
  { new: m.network_trust_new, proven: m.network_trust_proven, anchor: m.network_trust_anchor, barred: m.network_trust_barred },
  {},
)
