/** One answer while something breaks: its tokens with their times, and the longest wait between two of them. */
import { asError } from '../../protocol/errors.ts'
import type { GenerateOptions, Message, Network } from '../../sdk/types.ts'

export interface Disturbed {
  readonly tokenIds: readonly number[]
  /** The longest wait for a token after the disturbance, ms. */
  readonly pauseMs: number
  /** What ended it, where it did not come whole. */
  readonly error?: string
}

/** @param disturb called once, when `at` tokens are there */
export async function answerDisturbed(
  network: Network,
  model: string,
  messages: readonly Message[],
  options: Omit<GenerateOptions, 'onProgress'>,
  at: number,
  disturb: () => unknown,
): Promise<Disturbed> {
  let disturbedAt = 0
  let last = 0
  let pauseMs = 0
  const generation = network.generate(model, messages, {
    ...options,
    onProgress: (progress) => {
      if (progress.phase !== 'answer') return
      const now = performance.now()
      if (disturbedAt > 0) pauseMs = Math.max(pauseMs, now - last)
      last = now
      if (disturbedAt === 0 && progress.tokens >= at) {
        disturbedAt = now
        disturb()
      }
    },
  })
  try {
    const { tokenIds } = await generation
    if (disturbedAt === 0) return { tokenIds, pauseMs, error: `It was over after ${tokenIds.length} tokens, undisturbed.` }
    return { tokenIds, pauseMs }
  } catch (thrown) {
    return { tokenIds: [], pauseMs, error: asError(thrown).message }
  }
}
