/** Whether a model can be asked right now, in words and in colour. */
import type { ModelInfo } from '../../../sdk/types.ts'
import { blocks, counted } from './numbers.ts'
import type { Tone } from './phases.ts'

export const availabilityWords: Readonly<
  Record<ModelInfo['availability'], { readonly title: string; readonly short: string; readonly tone: Tone }>
> = {
  available: { title: 'Ready', short: 'ready', tone: 'good' },
  downloadable: { title: 'Volunteers are fetching it', short: 'being fetched', tone: 'wait' },
  unavailable: { title: 'Not enough volunteers', short: 'not ready', tone: 'rest' },
}

/** While the server is out of reach. */
export const unknownWords = { title: 'Not known now', tone: 'rest' } as const

/** Who holds what, for those who do not see the picture. */
export function coverageWords({ title, stages }: ModelInfo): string {
  if (stages.length === 0) return `${title}: nobody holds any of it.`
  return `${title}: ${stages.map((s) => `${blocks(s.blocks)} with ${counted(s.ready, 'volunteer')}`).join(', ')}.`
}
