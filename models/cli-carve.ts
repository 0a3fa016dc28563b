/**
 * Carves a model into files that a plain onnxruntime runs one after the other, by tensor name: `stage-1.onnx` and so on,
 * each with its weights, as f32, in a file beside it.
 */
import { open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { BlockRange } from '../protocol/manifest.ts'
import { Carver, type Layout } from './carve.ts'
import { makeFolder } from './folder.ts'
import { cutSource } from './import-blocks.ts'
import { writeFully } from './blob-store.ts'
import { readSource } from './import.ts'
import type { Library } from './library.ts'
import { lower } from './lower.ts'
import type { Model, Tensor } from './onnx/model.ts'
import { readModel } from './onnx/read.ts'
import { writeModel } from './onnx/write.ts'
import { splitStages } from './split.ts'

export interface CarvedFile {
  /** Of the graph; the weights lie in `<path>.data`. */
  readonly path: string
  readonly range: BlockRange
  /** Graph and weights. */
  readonly bytes: number
}

export interface CarveOptions {
  /** Sizes of an ONNX file's symbolic dimensions, for its analysis run. */
  readonly dims?: Readonly<Record<string, number>>
  readonly signal?: AbortSignal | undefined
}

/** What there is to carve, whether it was published or is a file. */
interface Carvable {
  readonly model: Model
  readonly layout: Layout
  readonly blocks: readonly { readonly cost: number; readonly residentBytes: number }[]
  /** External data by location. */
  load(location: string): Promise<Bytes>
  close(): Promise<void>
}

/** Offsets of weights in the data file: the page size that lets onnxruntime map them. */
const alignment = 4096
const partialSuffix = '.partial'

/**
 * @param subject a model of the library, or a GGUF or ONNX file
 * @throws ManyhandsError unknown-model, bad-model, unsupported, bad-input on more stages than blocks, aborted
 */
export async function carveToFiles(
  subject: string,
  stages: number,
  folder: string,
  library: Library,
  options: CarveOptions = {},
): Promise<CarvedFile[]> {
  const isFile = (await stat(subject).catch(() => undefined))?.isFile() ?? false
  const source = isFile ? await fromFile(subject, options.dims ?? {}) : await fromLibrary(subject, library)
  try {
    if (stages > source.blocks.length) {
      throw new ManyhandsError('bad-input', `${subject} has ${source.blocks.length} blocks: ask for that many stages at most.`)
    }
    await makeFolder(folder)
    const carver = new Carver(source.model, source.layout)
    const written: CarvedFile[] = []
    for (const [i, range] of splitStages(source.blocks, stages).entries()) {
      if (options.signal?.aborted) throw new ManyhandsError('aborted', 'Stopped.')
      const name = `stage-${i + 1}.onnx`
      const bytes = await writeStage(carver.stage(range).model, source, folder, name)
      written.push({ path: join(folder, name), range, bytes })
    }
    return written
  } finally {
    await source.close()
  }
}

async function fromLibrary(subject: string, library: Library): Promise<Carvable> {
  const { manifest } = await library.find(subject)
  const model = readModel(await library.blobs.get(manifest.graph.hash))
  const load = (location: string) => {
    const shard = manifest.shards[Number(location.replace(/^shard-/, ''))]
    if (!shard) throw new ManyhandsError('bad-model', `The graph names ${location}, which the manifest does not.`)
    return library.blobs.get(shard.hash)
  }
  return { model, layout: manifest, blocks: manifest.blocks, load, close: async () => {} }
}

async function fromFile(path: string, dims: Readonly<Record<string, number>>): Promise<Carvable> {
  const source = await readSource(path)
  try {
    const { layout, blocks } = await cutSource(source, dims)
    const load = (location: string) => {
      const part = source.parts.get(location)
      if (!part) throw new ManyhandsError('internal', `The weight ${location} has no bytes.`)
      return part.load()
    }
    return { model: source.model, layout, blocks, load, close: () => source.close() }
  } catch (thrown) {
    await source.close()
    throw thrown
  }
}

/** Bytes written. The files have other names until they are whole: the model may be a carved one that lies right here. */
async function writeStage(stage: Model, source: Carvable, folder: string, name: string): Promise<number> {
  const [graph, data] = [join(folder, name), join(folder, `${name}.data`)]
  try {
    const { model, end } = await writeWeights(stage, source, data + partialSuffix, `${name}.data`)
    const bytes = writeModel(model)
    await writeFile(graph + partialSuffix, bytes)
    for (const path of [data, graph]) await rename(path + partialSuffix, path)
    return end + bytes.length
  } finally {
    for (const path of [data, graph]) await rm(path + partialSuffix, { force: true })
  }
}

/**
 * The stage with its weights in one file, which the model calls `dataName`, and that file's size. Locations are read when a
 * weight first wants them and kept for the stage: several share a shard.
 */
async function writeWeights(stage: Model, source: Carvable, path: string, dataName: string): Promise<{ model: Model; end: number }> {
  const { model, weights } = lower(stage, 'portable')
  const made = new Map(weights.map((weight) => [weight.location, weight]))
  const stored = new Map<string, Bytes>()
  const need = async (location: string) => {
    const bytes = stored.get(location) ?? (await source.load(location))
    stored.set(location, bytes)
    return bytes
  }
  const file = await open(path, 'w')
  let end = 0
  try {
    const initializers: Tensor[] = []
    for (const tensor of model.graph.initializers) {
      if (tensor.data.kind !== 'external') {
        initializers.push(tensor)
        continue
      }
      const { location, offset, length } = tensor.data
      const weight = made.get(location)
      for (const read of weight?.reads ?? []) await need(read)
      const whole = weight ? weight.make((from, at, size) => (stored.get(from) as Bytes).subarray(at, at + size)) : await need(location)
      const start = Math.ceil(end / alignment) * alignment
      await writeFully(file, whole.subarray(offset, offset + length), start)
      end = start + length
      initializers.push({ ...tensor, data: { kind: 'external', location: dataName, offset: start, length } })
    }
    return { model: { ...model, graph: { ...model.graph, initializers } }, end }
  } finally {
    await file.close()
  }
}
