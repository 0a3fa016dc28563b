/**
 * The nodes of one stage: what its outputs need and its cut does not give, then the prelude that every stage makes again.
 */
import type { BlockRange } from '../protocol/manifest.ts'
import { blocksOf, fedInputs, type Blocks } from './graph-blocks.ts'
import { indexGraph, type GraphIndex } from './graph-index.ts'
import { isSelfMade, type Ports } from './graph-ports.ts'
import { recomputable } from './graph-recompute.ts'
import { StandIns } from './graph-stand-ins.ts'
import { badModel } from './onnx/bad-model.ts'
import type { Node } from './onnx/model.ts'

/** A graph and its cuts, analysed once for any number of stages. */
export interface Plan {
  readonly index: GraphIndex
  readonly ports: Ports
  readonly cuts: readonly (readonly string[])[]
  readonly blocks: Blocks
  /** By node: 1 where every stage makes the outputs for itself. */
  readonly everywhere: Uint8Array
  readonly standIns: StandIns
}

export interface StageNodes {
  /** In topological order. */
  readonly nodes: readonly Node[]
  /** Every tensor that the stage is given, reads or hands out. */
  readonly names: ReadonlySet<string>
}

/** @throws ManyhandsError bad-model when the cuts don't hold */
export function planOf(index: GraphIndex, ports: Ports, cuts: readonly (readonly string[])[]): Plan {
  const standIns = new StandIns(index, ports)
  const everywhere = recomputable(index, ports, standIns)
  return { index, ports, cuts, standIns, everywhere, blocks: blocksOf(index, ports, cuts, everywhere) }
}

/**
 * @param outputs tensors of the next cut or results, and presents
 * @throws ManyhandsError bad-model when a cut does not hold
 */
export function stageNodes(plan: Plan, range: BlockRange, outputs: readonly string[]): StageNodes {
  const { index } = plan
  const given = new Set(plan.cuts[range.first - 1])
  const own = ownNodes(plan, range, given, outputs)
  const prelude = preludeNodes(plan, range, given, own)
  const taken = new Map([...own.nodes].map((i) => [i, index.graph.nodes[i] as Node]))
  for (const [i, node] of prelude.nodes) taken.set(i, node)
  const nodes = [...taken.keys()].sort((a, b) => a - b).map((i) => taken.get(i) as Node)
  const names = new Set([...own.names, ...prelude.names])
  if (!prelude.rewired) return { nodes, names }
  // A port that stands in for another may be made later than the shape was asked for.
  const info = (name: string) => ({ name, type: { kind: 'other', bytes: new Uint8Array() } }) as const
  const inputs = [...names].filter((name) => given.has(name) || index.inputs.has(name)).map(info)
  const initializers = index.graph.initializers.filter(({ name }) => names.has(name) && !given.has(name))
  return { nodes: indexGraph({ name: '', nodes, initializers, inputs, outputs: [], valueInfo: [] }).graph.nodes, names }
}

interface OwnNodes {
  readonly nodes: ReadonlySet<number>
  readonly names: ReadonlySet<string>
  /** Tensors that the prelude has to make. */
  readonly missing: readonly string[]
}

function ownNodes(
  { index, ports, blocks, everywhere }: Plan,
  range: BlockRange,
  given: ReadonlySet<string>,
  outputs: readonly string[],
): OwnNodes {
  const fed = range.first === 0 ? new Set<string>() : fedInputs(index, ports)
  const nodes = new Set<number>()
  const names = new Set<string>()
  const missing: string[] = []
  const wanted = [...outputs]
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (names.has(name)) continue
    names.add(name)
    if (given.has(name)) continue
    if (fed.has(name)) throw badModel(`the input ${name} crosses cut ${range.first - 1} without being in it`)
    const maker = index.producer.get(name)
    if (maker === undefined) continue
    if (everywhere[maker]) {
      missing.push(name)
      continue
    }
    const block = blocks.of[maker] ?? -1
    if (block < range.first || block >= range.end)
      throw badModel(`the tensor ${name} crosses a border of blocks ${range.first} to ${range.end - 1} in no cut`)
    if (nodes.has(maker)) continue
    nodes.add(maker)
    for (const read of index.reads[maker] ?? []) wanted.push(read)
  }
  return { nodes, names, missing }
}

interface PreludeNodes {
  readonly nodes: ReadonlyMap<number, Node>
  readonly names: ReadonlySet<string>
  /** Whether a port stands in for another. */
  readonly rewired: boolean
}

function preludeNodes(
  { index, ports, everywhere, standIns }: Plan,
  range: BlockRange,
  given: ReadonlySet<string>,
  own: OwnNodes,
): PreludeNodes {
  const roles = new Map(ports.inputs.map((p) => [p.name, p.role]))
  /** Mask and positions are anybody's, fed inputs the first stage's, caches those of the stage that works on them. */
  const has = (port: string): boolean => {
    const role = index.inputs.has(port) ? (roles.get(port) ?? 'feed') : undefined
    if (given.has(port) || (role && isSelfMade(role))) return true
    return role === 'past' || role === undefined ? own.names.has(port) : range.first === 0
  }
  const nodes = new Map<number, Node>()
  const names = new Set<string>()
  let rewired = false
  const wanted = [...own.missing]
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (names.has(name)) continue
    names.add(name)
    const maker = given.has(name) ? undefined : index.producer.get(name)
    const node = maker === undefined || !everywhere[maker] ? undefined : index.graph.nodes[maker]
    if (maker === undefined || !node || nodes.has(maker)) continue
    if (!standIns.covers(node)) {
      nodes.set(maker, node)
      for (const read of index.reads[maker] ?? []) wanted.push(read)
      continue
    }
    const port = standIns.for(node, has)
    if (port === undefined)
      throw badModel(`blocks ${range.first} to ${range.end - 1} need the shape of ${node.inputs[0]}, and have nothing like it`)
    names.add(port)
    nodes.set(maker, { ...node, inputs: [port] })
    rewired ||= port !== node.inputs[0]
  }
  return { nodes, names, rewired }
}
