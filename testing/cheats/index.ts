/** Every cheat by its name, as tests and the simulation's report call it. */
import type { Cheat } from './cheat.ts'
import { copiedSketch } from './auditors.ts'
import { grinder } from './grinder.ts'
import { framing, silent, twoFaced } from './links.ts'
import { halfCache, halfWeights, halfWeightsInOneLayer, int8Weights, shortMemory } from './sessions.ts'
import { falseBackend, noisy, otherToken, skippedLayer, stale, zeros } from './stages.ts'

export const cheats = {
  zeros: () => zeros,
  'stale answer': stale,
  'skipped layer': () => skippedLayer,
  'int8 weights': () => int8Weights,
  'f16 weights': () => halfWeights,
  'f16 weights in one layer': () => halfWeightsInOneLayer,
  'f16 cache': () => halfCache,
  'short memory': () => shortMemory,
  'another token': () => otherToken,
  'a small error': () => noisy(1e-4),
  grinder: () => grinder,
  'false backend': () => falseBackend,
  'two faces': () => twoFaced,
  framing: () => framing,
  silence: () => silent,
  'copied sketch': () => copiedSketch,
} satisfies Record<string, () => Cheat>

export type CheatName = keyof typeof cheats
