/**
 * A foreign ONNX file without its weights: initializers above a size become external data, each at a location of its own
 * name, for the importer to pack into shards. The bytes stay views into the file.
 */
import { normalForm } from './graph-normal.ts'
import { rawLength, elementCountOf } from './onnx/element-types.ts'
import type { Model, Tensor } from './onnx/model.ts'
import { inlineBytes } from './source-model.ts'

export interface Weightless {
  /** In normal form; every large initializer is external. */
  readonly model: Model
  /** Bytes by location, for the weights that lay inside; those that were external already are not here. */
  readonly tensors: ReadonlyMap<string, Uint8Array>
}

/** @throws ManyhandsError bad-model */
export function weightless(model: Model): Weightless {
  const tensors = new Map<string, Uint8Array>()
  const normal = normalForm(model)
  const pulled = (tensor: Tensor): Tensor => {
    const { name, data } = tensor
    if (data.kind !== 'raw' || data.bytes.length <= inlineBytes) return tensor
    tensors.set(name, data.bytes)
    return { ...tensor, data: { kind: 'external', location: name, offset: 0, length: rawLength(tensor.dtype, elementCountOf(tensor.dims)) } }
  }
  return { model: { ...normal, graph: { ...normal.graph, initializers: normal.graph.initializers.map(pulled) } }, tensors }
}
