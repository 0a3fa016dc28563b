/** What chat completions and completions both tell of their answers: why each ended, what was used, and of which model. */
import type { Generated } from '../types.ts'

/** An answer that was aborted is none; what else ends one is its length, or the model itself. */
export const finishOf = ({ finish }: Generated): 'length' | 'stop' => (finish === 'length' ? 'length' : 'stop')

/** @param prompts for each prompt its answers: a prompt counts once, however many they are */
export function usageOf(prompts: readonly (readonly Generated[])[]) {
  const promptTokens = sum(prompts.map((answers) => answers[0]?.promptTokens ?? 0))
  const completionTokens = sum(prompts.flat().map(({ tokenIds }) => tokenIds.length))
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens }
}

/** Two answers with the same one, and the same seed, are the same. */
export const fingerprintOf = (generated: Generated | undefined): string | undefined =>
  generated && `mh_${generated.ticket.revision.slice(0, 16)}`

const sum = (of: readonly number[]): number => of.reduce((total, n) => total + n, 0)
