/**
 * Which tensors no cut needs to carry, because every stage can cheaply make them for itself: constants, and what follows
 * from the mask and the positions by a few small operations (a decoder's attention-mask prelude, its rotary tables).
 */
import { CostModel } from './graph-cost.ts'
import { subgraphs, type GraphIndex } from './graph-index.ts'
import { isSelfMade, type Ports } from './graph-ports.ts'
import type { StandIns } from './graph-stand-ins.ts'
import type { Node } from './onnx/model.ts'

/** Multiply-accumulates a row above which an operation is not done twice: a rotary table's is 32, the smallest layer's 200,000. */
const cheapCost = 2 ** 16
/** Operations one after the other that are done again at most: exported mask preludes have under 50. */
const longestPrelude = 128

/**
 * @param standIns where given, shapes of ports count as known to every stage as far as other ports can stand in
 * @returns by node: 1 where each stage makes the node's outputs again
 */
export function recomputable(index: GraphIndex, ports: Ports, standIns?: StandIns): Uint8Array {
  const { nodes } = index.graph
  const cost = new CostModel(index)
  const selfMade = new Set(ports.inputs.filter((p) => isSelfMade(p.role)).map((p) => p.name))
  const flags = new Uint8Array(nodes.length)
  /** 0 for what depends on no input at all. */
  const depth = new Uint32Array(nodes.length)
  for (const [i, node] of nodes.entries()) {
    if (isRandom(node)) continue
    if (standIns?.covers(node)) {
      depth[i] = 1
      flags[i] = 1
      continue
    }
    let deepest = 0
    const known = (index.reads[i] ?? []).every((name) => {
      if (index.initializers.has(name)) return true
      const maker = index.producer.get(name)
      if (maker === undefined) {
        deepest = Math.max(deepest, 1)
        return selfMade.has(name)
      }
      const below = depth[maker] as number
      deepest = Math.max(deepest, below === 0 ? 0 : below + 1)
      return flags[maker] === 1
    })
    if (!known || (deepest > 0 && (deepest > longestPrelude || !isCheap(node, cost)))) continue
    depth[i] = deepest
    flags[i] = 1
  }
  return flags
}

function isCheap(node: Node, cost: CostModel): boolean {
  return node.opType !== 'Loop' && node.opType !== 'Scan' && cost.of(node) <= cheapCost
}

/** Two stages would draw differently. */
function isRandom(node: Node): boolean {
  if (/^(Random|Multinomial|Bernoulli)/.test(node.opType)) return true
  for (const attribute of node.attributes.values()) if (subgraphs(attribute).some((graph) => graph.nodes.some(isRandom))) return true
  return false
}
