/**
 * Which node belongs to which block, from the cuts' tensors alone: a block is what its cut (or the results) needs and the
 * cut before does not give. Says so when the cuts don't hold, that is when something crosses one without being in it.
 */
import type { GraphIndex } from './graph-index.ts'
import { isFed, type Ports } from './graph-ports.ts'
import { badModel } from './onnx/bad-model.ts'

export interface Blocks {
  readonly count: number
  /** By node: its block, or -1 where every stage makes the outputs for itself, or nobody needs them. */
  readonly of: Int32Array
  /** By name of each present: the block that makes it. */
  readonly presents: ReadonlyMap<string, number>
  /** What the model hands out at its end. */
  readonly results: readonly string[]
}

/** @throws ManyhandsError bad-model when the cuts don't hold */
export function blocksOf(index: GraphIndex, ports: Ports, cuts: readonly (readonly string[])[], everywhere: Uint8Array): Blocks {
  const { graph, producer } = index
  const of = new Int32Array(graph.nodes.length).fill(-1)
  const isPresent = new Set(ports.outputs.filter((p) => p.role === 'present').map((p) => p.name))
  const results = graph.outputs.map(({ name }) => name).filter((name) => !isPresent.has(name))
  const fed = fedInputs(index, ports)
  for (let k = 0; k <= cuts.length; k++) {
    const given = new Set(cuts[k - 1])
    const wanted = [...(cuts[k] ?? results)]
    if (cuts[k]?.length === given.size && wanted.every((name) => given.has(name))) throw badModel(`block ${k} has nothing in it`)
    for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
      if (given.has(name)) continue
      const maker = producer.get(name)
      if (maker === undefined) {
        if (!index.inputs.has(name) && !index.initializers.has(name))
          throw badModel(`a cut names the tensor ${name}, which is not in the graph`)
        if (k > 0 && fed.has(name)) throw badModel(`the input ${name} crosses cut ${k - 1} without being in it`)
        continue
      }
      if (everywhere[maker] || of[maker] === k) continue
      if (of[maker] !== -1) throw badModel(`the tensor ${name} crosses cut ${k - 1} without being in it`)
      of[maker] = k
      wanted.push(...(index.reads[maker] ?? []))
    }
  }
  assignTails(index, isPresent, of, everywhere)
  const presents = new Map(
    graph.outputs.filter(({ name }) => isPresent.has(name)).map(({ name }) => [name, Math.max(0, of[producer.get(name) ?? -1] ?? 0)]),
  )
  return { count: cuts.length + 1, of, presents, results }
}

export function fedInputs(index: GraphIndex, ports: Ports): Set<string> {
  const roles = new Map(ports.inputs.map((p) => [p.name, p.role]))
  return new Set([...index.inputs.keys()].filter((name) => isFed(roles.get(name) ?? 'feed')))
}

/** Nodes that only lead to a present go where what they read was made. */
function assignTails(index: GraphIndex, isPresent: ReadonlySet<string>, of: Int32Array, everywhere: Uint8Array): void {
  const { nodes } = index.graph
  const wanted = new Set(isPresent)
  const tails: number[] = []
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (of[i] !== -1 || everywhere[i] || !nodes[i]?.outputs.some((name) => wanted.has(name))) continue
    tails.push(i)
    for (const name of index.reads[i] ?? []) wanted.add(name)
  }
  for (const i of tails.reverse()) {
    let block = 0
    for (const name of index.reads[i] ?? []) block = Math.max(block, of[index.producer.get(name) ?? -1] ?? 0)
    of[i] = block
  }
}
