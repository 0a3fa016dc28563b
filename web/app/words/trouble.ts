/**
 * Errors in plain words: what happened, and what a person in front of the page can do about it. Shown by trouble.svelte.
 */
import type { ErrorCode, ManyhandsError } from '../../../protocol/errors.ts'
import { duration } from './numbers.ts'

export interface Trouble {
  readonly title: string
  /** The error's own sentence, or what to do where that says more. */
  readonly text: string
  /** What helps: a second try, giving a hand oneself, or nothing here. */
  readonly remedy: 'again' | 'give' | 'none'
}

type Words = Pick<Trouble, 'title' | 'remedy'> & {
  readonly advice?: string
  /** When to come again is nobody's to say. */ readonly open?: true
}

const words: Partial<Record<ErrorCode, Words>> = {
  'bad-input': { title: 'That can’t be used as it is', remedy: 'none' },
  'bad-model': { title: 'This model is damaged', remedy: 'none', advice: 'Tell whoever runs this server.' },
  'bad-signature': {
    title: 'An answer was not what its maker signed',
    remedy: 'again',
    advice: 'It was thrown away. Ask again: other volunteers may take part.',
  },
  'bad-ticket': { title: 'A volunteer refused this request', remedy: 'again' },
  busy: { title: 'Every hand is full', remedy: 'give', advice: 'One more tab would help.' },
  closed: { title: 'The connection was closed', remedy: 'again' },
  'context-overflow': {
    title: 'This conversation is too long for the model',
    remedy: 'none',
    advice: 'A new conversation begins without what was said before.',
  },
  disputed: {
    title: 'The volunteers did not agree',
    remedy: 'again',
    advice: 'None of it can be vouched for. Ask again: other volunteers may take part.',
  },
  'engine-failed': { title: 'A volunteer could not compute this', remedy: 'again' },
  'hash-mismatch': { title: 'A file arrived changed', remedy: 'again', advice: 'It was thrown away, unused.' },
  'insecure-context': {
    title: 'This address is not secure',
    remedy: 'none',
    advice: 'Open the page over https, or as http://localhost on this machine. Without it, browsers withhold what Manyhands needs.',
  },
  'no-space': { title: 'The disk has no room', remedy: 'again', advice: 'Free some space, or choose less memory.' },
  'no-volunteers': {
    title: 'Nobody holds all of this model right now',
    remedy: 'give',
    open: true,
  },
  'not-found': { title: 'Something is missing on the server', remedy: 'again' },
  'out-of-memory': { title: 'Memory ran out', remedy: 'again' },
  'peer-lost': { title: 'A volunteer left in the middle of it', remedy: 'again', advice: 'Ask again: another one takes its place.' },
  'rate-limited': { title: 'Too many requests at once', remedy: 'again' },
  timeout: { title: 'It took too long', remedy: 'again' },
  unavailable: { title: 'The server does not answer', remedy: 'again', advice: 'Check the connection; the server may be restarting.' },
  'unknown-model': { title: 'The server no longer has this model', remedy: 'none' },
  unsupported: { title: 'This browser can’t do that', remedy: 'none' },
}

const unexpected: Words = { title: 'Something went wrong', remedy: 'again' }

/** Errors that only mean "the person pressed stop" are no trouble: undefined. */
export function trouble(error: ManyhandsError): Trouble | undefined {
  if (error.code === 'aborted') return undefined
  const { title, remedy, advice, open } = words[error.code] ?? unexpected
  const wait = error.retryAfterMs === undefined || open ? undefined : `Try again in ${duration(Math.max(1, error.retryAfterMs / 1000))}.`
  return { title, remedy, text: [error.message, wait, advice].filter((sentence) => sentence).join(' ') }
}
