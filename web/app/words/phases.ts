/**
 * The phases of giving, in plain words and in the colour they are shown with.
 */
import type { DonationPhase } from '../../../sdk/types.ts'

export type Tone = 'good' | 'wait' | 'rest' | 'bad'

export const phaseWords: Readonly<Record<DonationPhase, { readonly title: string; readonly tone: Tone }>> = {
  connecting: { title: 'Connecting', tone: 'wait' },
  waiting: { title: 'Waiting for work', tone: 'wait' },
  fetching: { title: 'Fetching weights', tone: 'wait' },
  preparing: { title: 'Preparing', tone: 'wait' },
  checking: { title: 'Checking my results', tone: 'wait' },
  serving: { title: 'Giving', tone: 'good' },
  paused: { title: 'Paused', tone: 'rest' },
  stopped: { title: 'Stopped', tone: 'rest' },
  failed: { title: 'Something is in the way', tone: 'bad' },
}
