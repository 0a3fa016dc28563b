/**
 * Errors in plain words: what happened, and what a person in front of the page can do about it. Shown by trouble.svelte.
 */
import { m } from '../../paraglide/messages.js'
import type { ErrorCode, ManyhandsError } from '../../../protocol/errors.ts'
import { duration } from './numbers.ts'

export interface Trouble {
  readonly title: string
  /** The error's own sentence: English, as it came. */
  readonly said: string
  /** What helps, in the page's language; may be empty. */
  readonly advice: string
  /** What helps: a second try, giving a hand oneself, or nothing here. */
  readonly remedy: 'again' | 'give' | 'none'
}

type Words = Pick<Trouble, 'remedy'> & {
  readonly title: () => string
  readonly advice?: () => string
  /** When to come again is nobody's to say. */
  readonly open?: true
}

const words: Partial<Record<ErrorCode, Words>> = {
  'bad-input': { title: m.words_trouble_bad_input, remedy: 'none' },
  'bad-model': { title: m.words_trouble_bad_model, remedy: 'none', advice: m.words_trouble_bad_model_do },
  'bad-signature': { title: m.words_trouble_bad_signature, remedy: 'again', advice: m.words_trouble_bad_signature_do },
  'bad-ticket': { title: m.words_trouble_bad_ticket, remedy: 'again' },
  busy: { title: m.words_trouble_busy, remedy: 'give', advice: m.words_trouble_busy_do },
  closed: { title: m.words_trouble_closed, remedy: 'again' },
  'context-overflow': { title: m.words_trouble_context_overflow, remedy: 'none', advice: m.words_trouble_context_overflow_do },
  disputed: { title: m.words_trouble_disputed, remedy: 'again', advice: m.words_trouble_disputed_do },
  'engine-failed': { title: m.words_trouble_engine_failed, remedy: 'again' },
  forbidden: { title: m.words_trouble_forbidden, remedy: 'none' },
  'hash-mismatch': { title: m.words_trouble_hash_mismatch, remedy: 'again', advice: m.words_trouble_hash_mismatch_do },
  'insecure-context': { title: m.words_trouble_insecure_context, remedy: 'none', advice: m.words_trouble_insecure_context_do },
  'no-space': { title: m.words_trouble_no_space, remedy: 'again', advice: m.words_trouble_no_space_do },
  'no-volunteers': { title: m.words_trouble_no_volunteers, remedy: 'give', open: true },
  'not-found': { title: m.words_trouble_not_found, remedy: 'again' },
  'out-of-memory': { title: m.words_trouble_out_of_memory, remedy: 'again' },
  'peer-lost': { title: m.words_trouble_peer_lost, remedy: 'again', advice: m.words_trouble_peer_lost_do },
  'rate-limited': { title: m.words_trouble_rate_limited, remedy: 'again' },
  timeout: { title: m.words_trouble_timeout, remedy: 'again' },
  unavailable: { title: m.words_trouble_unavailable, remedy: 'again', advice: m.words_trouble_unavailable_do },
  'unknown-model': { title: m.words_trouble_unknown_model, remedy: 'none' },
  unsupported: { title: m.words_trouble_unsupported, remedy: 'none' },
}

const unexpected: Words = { title: m.words_trouble_unexpected, remedy: 'again' }

/** Errors that only mean "the person pressed stop" are no trouble: undefined. */
export function trouble(error: ManyhandsError): Trouble | undefined {
  if (error.code === 'aborted') return undefined
  const { title, remedy, advice, open } = words[error.code] ?? unexpected
  const wait =
    error.retryAfterMs === undefined || open ? undefined : m.words_again_in({ time: duration(Math.max(1, error.retryAfterMs / 1000)) })
  return { title: title(), remedy, said: error.message, advice: [wait, advice?.()].filter((sentence) => sentence).join(' ') }
}
