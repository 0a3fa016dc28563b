/** Whether a model can be asked right now, in words and in colour. */
import { m } from '../../paraglide/messages.js'
import type { ModelInfo } from '../../../sdk/types.ts'
import { blocks } from './numbers.ts'
import type { Tone } from './phases.ts'
import { said, type Said } from './said.ts'

export const availabilityWords: Readonly<Record<ModelInfo['availability'], Said<'title' | 'short'> & { readonly tone: Tone }>> = {
  available: said({ title: m.words_available, short: m.words_available_short }, { tone: 'good' }),
  downloadable: said({ title: m.words_downloadable, short: m.words_downloadable_short }, { tone: 'wait' }),
  unavailable: said({ title: m.words_unavailable, short: m.words_unavailable_short }, { tone: 'rest' }),
}

/** While the server is out of reach. */
export const unknownWords = said({ title: m.words_unknown }, { tone: 'rest' } satisfies { tone: Tone })

/** Who holds what, for those who do not see the picture. */
export function coverageWords({ title, stages }: ModelInfo): string {
  if (stages.length === 0) return m.words_coverage_none({ title })
  const parts = stages.map((s) => m.words_coverage_part({ n: s.ready, blocks: blocks(s.blocks) }))
  return m.words_coverage({ title, parts: parts.join(', ') })
}
