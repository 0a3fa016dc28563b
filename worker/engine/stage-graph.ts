/**
 * A published graph into the graph of one stage: carved to its blocks, made to compute logits for wanted rows alone, and its
 * ports sorted by who fills them. Lowering for a backend comes after.
 */
import { carve } from '../../models/carve.ts'
import type { Model } from '../../models/onnx/model.ts'
import { readModel } from '../../models/onnx/read.ts'
import type { BlockRange, InputSpec, Manifest } from '../../protocol/manifest.ts'
import type { TensorSpec } from '../../protocol/tensors.ts'
import { cachePorts, type CachePort } from './cache-ports.ts'
import { sliceWanted } from './wanted-rows.ts'

export interface StageGraph {
  readonly model: Model
  /** What each step brings: the cut before, or the feeds. */
  readonly inputSpecs: readonly TensorSpec[]
  /** What each step gives: the next cut, or the results; of a decoder's last stage the logits, f32 [rows, vocab]. */
  readonly outputSpecs: readonly TensorSpec[]
  readonly caches: readonly CachePort[]
  /** Inputs that are made of position and rows, where the stage has them. */
  readonly mask?: string
  readonly positions?: string
  /** The stage ends in a decoder's logits: the model takes {@link wantedFrom} as well. */
  readonly makesLogits: boolean
}

/** @throws ManyhandsError bad-model, unsupported */
export function stageGraph(graph: Uint8Array, manifest: Manifest, range: BlockRange): StageGraph {
  const carved = carve(readModel(graph), manifest, range)
  const isLast = range.end === manifest.blocks.length
  const before = manifest.cuts[range.first - 1]?.tensors
  const inputSpecs = (before ?? manifest.inputs.filter(isFed)).map(asSpec)
  const roles = new Map(manifest.inputs.map((input) => [input.name, input.role]))
  const withRole = (role: InputSpec['role']) =>
    carved.inputs.filter((name) => roles.get(name) === role && !before?.some((t) => t.name === name))
  const caches = cachePorts(carved.model, withRole('past'))
  const [mask] = withRole('mask')
  const [positions] = withRole('positions')
  const ports = { inputSpecs, caches, ...(mask === undefined ? {} : { mask }), ...(positions === undefined ? {} : { positions }) }
  const { decoder } = manifest
  const logits = isLast && decoder ? manifest.outputs.find((o) => o.role === 'logits') : undefined
  if (logits && decoder) {
    const model = sliceWanted(carved.model, logits.name, before?.map((t) => t.name) ?? [])
    return { ...ports, model, outputSpecs: [{ name: logits.name, dtype: logits.dtype, shape: ['rows', decoder.vocab] }], makesLogits: true }
  }
  const after = manifest.cuts[range.end - 1]?.tensors ?? manifest.outputs.filter((o) => o.role !== 'present')
  return { ...ports, model: carved.model, outputSpecs: after.map(asSpec), makesLogits: false }
}

const isFed = (input: InputSpec): boolean => input.role === 'feed' || input.role === 'tokens'
const asSpec = ({ name, dtype, shape }: TensorSpec): TensorSpec => ({ name, dtype, shape })
