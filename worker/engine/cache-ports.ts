/**
 * Where a carved decoder stage keeps its history: pairs of a past input and a present output of one attention node. They may
 * share one buffer of full capacity, written in place, which is what makes a step's cost independent of the cache's size.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Model } from '../../models/onnx/model.ts'

export interface CachePort {
  readonly past: string
  readonly present: string
}

/** GroupQueryAttention: past_key and past_value, present_key and present_value. */
const places = [
  { past: 3, present: 1 },
  { past: 4, present: 2 },
] as const

/**
 * @param pasts the stage's inputs that are caches
 * @throws ManyhandsError unsupported when one is not the cache of a GroupQueryAttention
 */
export function cachePorts(model: Model, pasts: readonly string[]): CachePort[] {
  const ports: CachePort[] = []
  for (const node of model.graph.nodes) {
    for (const place of places) {
      const past = node.inputs[place.past]
      const present = node.outputs[place.present]
      if (node.opType === 'GroupQueryAttention' && past && present && pasts.includes(past)) ports.push({ past, present })
    }
  }
  const readers = model.graph.nodes.flatMap((node) => node.inputs).filter((name) => pasts.includes(name))
  if (ports.length !== pasts.length || readers.length !== pasts.length) {
    throw new ManyhandsError('unsupported', "This decoder's attention is not GroupQueryAttention, which is the one that is run here.")
  }
  return ports
}
