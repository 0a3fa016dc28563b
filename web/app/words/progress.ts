/** How far a request is, in words, while it has nothing to show yet. */
import { m } from '../../paraglide/messages.js'
import type { AskedPhase } from '../playground/asked.svelte.ts'

interface Asked {
  readonly phase: AskedPhase
  readonly ahead: number
  readonly promptTokens: number
  readonly pause: string
}

export function progressWords({ phase, ahead, promptTokens, pause }: Asked): string {
  if (phase === 'queued') return ahead === 0 ? m.words_next_in_line() : m.words_in_line({ n: ahead })
  if (phase === 'waiting') return pause
  if (phase === 'correcting') return m.words_correcting()
  if (phase === 'connecting') return m.words_reaching()
  if (phase === 'prompt') return promptTokens > 0 ? m.words_reading_prompt({ n: promptTokens }) : m.words_computing()
  return m.words_asking()
}
