/** How far a request is, in words, while it has nothing to show yet. */
import type { AskedPhase } from '../playground/asked.svelte.ts'
import { counted } from './numbers.ts'

interface Asked {
  readonly phase: AskedPhase
  readonly ahead: number
  readonly promptTokens: number
  readonly pause: string
}

export function progressWords({ phase, ahead, promptTokens, pause }: Asked): string {
  if (phase === 'queued') return ahead === 0 ? 'Next in the queue' : `In the queue: ${counted(ahead, 'request')} before yours`
  if (phase === 'waiting') return pause
  if (phase === 'correcting') return 'Other volunteers compute it again'
  if (phase === 'connecting') return 'Connecting to the volunteers'
  if (phase === 'prompt')
    return promptTokens > 0 ? `The volunteers read the prompt: ${counted(promptTokens, 'token')}` : 'The volunteers compute'
  return 'Asking the network'
}
