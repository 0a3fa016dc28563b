/**
 * Any ONNX file as a source model: brought to normal form, its larger weights named apart from the graph. Files of external
 * weights beside the model are read too.
 */
import { realpath } from 'node:fs/promises'
import { basename, dirname, extname, join, sep } from 'node:path'
import type { Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { InputSpec, OutputSpec } from '../protocol/manifest.ts'
import { dtypes, type DType } from '../protocol/tensors.ts'
import { fileSource, type ByteSource } from './byte-source.ts'
import { normalForm } from './graph-normal.ts'
import { badModel } from './onnx/bad-model.ts'
import type { Graph, Model, Tensor, ValueInfo } from './onnx/model.ts'
import { readModel } from './onnx/read.ts'
import { inlineBytes, type SourceModel, type WeightPart } from './source-model.ts'

/**
 * @param path where the file lies, for weights beside it; absent for bytes in memory
 * @throws ManyhandsError bad-model or unsupported
 */
export async function onnxModel(bytes: Uint8Array, path?: string): Promise<SourceModel> {
  const read = readModel(bytes)
  const parts = new Map<string, WeightPart>()
  const files = new Map<string, ByteSource>()
  const close = async () => {
    for (const file of files.values()) await file.close()
  }
  try {
    const model = await outsideWeights(normalForm(read), parts, files, path)
    if (model.graph.nodes.length === 0) throw badModel('it computes nothing')
    return {
      model,
      parts,
      inputs: model.graph.inputs.map((input): InputSpec => ({ ...tensorSpec(input), role: 'feed' })),
      outputs: model.graph.outputs.map((output): OutputSpec => ({ ...tensorSpec(output), role: 'result' })),
      task: 'other',
      name: path === undefined ? read.graph.name : basename(path, extname(path)),
      title: '',
      license: '',
      close,
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

async function outsideWeights(
  model: Model,
  parts: Map<string, WeightPart>,
  files: Map<string, ByteSource>,
  path: string | undefined,
): Promise<Model> {
  const initializers: Tensor[] = []
  for (const tensor of model.graph.initializers) {
    const { data } = tensor
    if (data.kind === 'raw' && data.bytes.length > inlineBytes) {
      const { bytes } = data
      initializers.push(outside(tensor, parts, { bytes: bytes.length, load: async () => bytes as Bytes }))
    } else if (data.kind === 'external') {
      const source = files.get(data.location) ?? (await besideModel(data.location, path))
      files.set(data.location, source)
      initializers.push(outside(tensor, parts, { bytes: data.length, load: () => source.read(data.offset, data.length) }))
    } else {
      initializers.push(tensor)
    }
  }
  const graph: Graph = { ...model.graph, initializers }
  return { ...model, graph }
}

function outside(tensor: Tensor, parts: Map<string, WeightPart>, part: WeightPart): Tensor {
  parts.set(tensor.name, part)
  return { ...tensor, data: { kind: 'external', location: tensor.name, offset: 0, length: part.bytes } }
}

/** A file of weights must lie in the model's own folder: a stranger's model names it. */
async function besideModel(location: string, path: string | undefined): Promise<ByteSource> {
  if (path === undefined) throw badModel(`its weights are in another file, ${JSON.stringify(location)}; add the model from disk`)
  const folder = await realpath(dirname(path))
  const target = await realpath(join(folder, location)).catch(() => {
    throw new ManyhandsError('not-found', `The model's weights are in ${JSON.stringify(location)}, which is not beside it.`)
  })
  if (!target.startsWith(folder + sep)) throw badModel(`its weights lie outside its folder: ${JSON.stringify(location)}`)
  return fileSource(target)
}

function tensorSpec({ name, type }: ValueInfo): { name: string; dtype: DType; shape: (number | string)[] } {
  if (type.kind !== 'tensor') throw unsupported(`${name} is no tensor`)
  if (!(dtypes as readonly string[]).includes(type.dtype)) throw unsupported(`${name} is of type ${type.dtype}`)
  if (!type.dims) throw unsupported(`${name} has no shape`)
  return { name, dtype: type.dtype as DType, shape: type.dims.map((dim, axis) => (dim === '' ? `${name}_${axis}` : dim)) }
}

const unsupported = (what: string) => new ManyhandsError('unsupported', `This ONNX model can't be imported yet: ${what}.`)
