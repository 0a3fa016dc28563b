/** The one line that says what this tab does and why, in the page's language. What only the server or an error knows stays as they said it. */
import { m } from '../../paraglide/messages.js'
import { getLocale } from '../../paraglide/runtime.js'
import type { DonationPhase, DonationState, PauseCause } from '../../../sdk/types.ts'

const plain: Partial<Record<DonationPhase, () => string>> = {
  elsewhere: m.give_reason_elsewhere,
  fetching: m.give_reason_fetching,
  preparing: m.give_reason_preparing,
  checking: m.give_reason_checking,
}

const causes: Readonly<Record<PauseCause['by'], () => string>> = {
  person: m.give_paused_person,
  battery: m.give_paused_battery,
  'save-data': m.give_paused_save_data,
  pressure: m.give_paused_pressure,
  hidden: m.give_paused_hidden,
}

/** `lang` where it is another one than the page's. */
export interface Reason {
  readonly text: string
  readonly lang?: 'en'
}

/** @param finishing it hands over what it holds, then stops */
export function reasonWords({ phase, paused, reason, reachable }: DonationState, finishing: boolean): Reason {
  if (finishing && phase !== 'stopped') return { text: m.give_reason_finishing() }
  if (paused?.by === 'person' && paused.until !== undefined) return { text: m.give_paused_until({ time: timeOf(paused.until) }) }
  if (paused) return { text: causes[paused.by]() }
  if (phase === 'serving') return { text: reachable ? m.give_reason_serving() : m.give_reason_unreachable() }
  const words = plain[phase]
  if (words) return { text: words() }
  return getLocale() === 'en' ? { text: reason } : { text: reason, lang: 'en' }
}

const timeOf = (at: number) => new Intl.DateTimeFormat(getLocale(), { timeStyle: 'short' }).format(at)
