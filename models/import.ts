/**
 * A GGUF, safetensors or ONNX file into a published model: reads it, cuts it, writes shards and the weightless graph as blobs, computes the
 * golden activations, and hands back the manifest. The same file gives the same manifest, whoever imports it.
 */
import { basename, dirname, resolve } from 'node:path'
import { type Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { parseManifest, type BlobRef, type Manifest } from '../protocol/manifest.ts'
import { bertModel } from './bert.ts'
import { besideOf, besidePath } from './beside.ts'
import type { BlobFolder } from './blob-store.ts'
import { bytesSource, fileSource } from './byte-source.ts'
import { readGguf } from './gguf.ts'
import { makeGoldens } from './golden.ts'
import type { GoldenFill } from './golden-feeds.ts'
import { cutSource, type CutSource } from './import-blocks.ts'
import { onnxModel } from './import-onnx.ts'
import { llamaModel } from './llama.ts'
import type { Model, Tensor } from './onnx/model.ts'
import { writeModel } from './onnx/write.ts'
import type { OnProgress } from './progress.ts'
import { isSafetensors, readSafetensors } from './safetensors.ts'
import { shardLayout, type ShardLayout } from './shard-layout.ts'
import type { SourceModel } from './source-model.ts'

/** Raised when the same file begins to give another revision. */
export const importerVersion = 2

export interface ImportOptions {
  /** As in a URL; taken from the file when absent. */
  readonly name?: string
  readonly title?: string
  /** SPDX. */
  readonly license?: string
  readonly origin?: string
  readonly task?: Manifest['task']
  /** Files that a safetensors file needs beside it (`config.json`, `tokenizer.json` …), by name; from its folder when absent. */
  readonly beside?: Readonly<Record<string, Bytes>>
  /** Small files for the task's own code, by name. */
  readonly files?: Readonly<Record<string, Bytes>>
  /** Sizes of the inputs' symbolic dimensions in the golden run, by name. */
  readonly goldenDims?: Readonly<Record<string, number>>
  /** What its inputs are filled with then; `noise` when absent. */
  readonly goldenFill?: GoldenFill
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

/**
 * @param file a path, or the file's bytes
 * @throws ManyhandsError bad-model, unsupported, not-found, no-space, engine-failed, not-finite, aborted
 */
export async function importModel(file: string | Bytes, blobs: BlobFolder, options: ImportOptions = {}): Promise<Manifest> {
  const source = await readSource(file, options.beside)
  try {
    return await publishSource(source, blobs, { ...options, name: options.name ?? asName(source.name) })
  } finally {
    await source.close()
  }
}

/** An ONNX file is read whole: protocol buffers stop at 2 GiB, and larger weights lie in files beside it. */
const maxOnnxBytes = 2 ** 31

/**
 * A model's graph and where its weights are, to be closed.
 * @param files beside a safetensors file; from its folder when absent
 * @throws ManyhandsError bad-model, unsupported or not-found
 */
export async function readSource(file: string | Bytes, files?: Readonly<Record<string, Bytes>>): Promise<SourceModel> {
  const bytes = typeof file === 'string' ? await fileSource(file) : bytesSource(file)
  try {
    const isGguf = bytes.size >= 4 && new TextDecoder().decode(await bytes.read(0, 4)) === 'GGUF'
    if (isGguf) return await llamaModel(await readGguf(bytes), bytes)
    if (await isSafetensors(bytes)) {
      const beside = files || typeof file !== 'string' ? besideOf(files ?? {}) : besidePath(file)
      const model = await bertModel(await readSafetensors(bytes), bytes, beside)
      // The file itself is called model.safetensors everywhere.
      return typeof file === 'string' ? { ...model, name: basename(dirname(resolve(file))) } : model
    }
    if (bytes.size > maxOnnxBytes) throw new ManyhandsError('bad-model', `${bytes.name} is larger than an ONNX file can be.`)
    const model = await onnxModel(await bytes.read(0, bytes.size), typeof file === 'string' ? file : undefined)
    await bytes.close()
    return model
  } catch (thrown) {
    await bytes.close()
    throw thrown
  }
}

async function publishSource(
  source: SourceModel,
  blobs: BlobFolder,
  options: ImportOptions & { readonly name: string },
): Promise<Manifest> {
  const { name, signal } = options
  const report = (phase: 'writing' | 'golden', done: number, total: number) => options.onProgress?.({ phase, what: name, done, total })
  const dims = options.goldenDims ?? {}
  const cut = await cutSource(source, dims)
  const layout = shardLayout(
    cut.blocks.map((block) => block.reads),
    new Map([...source.parts].map(([location, part]) => [location, part.bytes])),
  )
  const shards = await writeShards(source, layout, blobs, (done, total) => report('writing', done, total), signal)
  const model = inShards(source.model, layout)
  const graph = await blobs.put(writeModel(model))
  const golden = await makeGoldens({
    model,
    layout: cut.layout,
    blocks: cut.blocks,
    decoder: source.decoder,
    dims,
    fill: options.goldenFill ?? 'noise',
    loadShard: (location) => blobs.get((shards[Number(location.slice(shardPrefix.length))] as BlobRef).hash),
    put: (bytes) => blobs.put(bytes),
    onSegment: (done, total) => report('golden', done, total),
    signal,
  })
  const { json, config } = source.tokenizer ?? {}
  const tokenizer = json && config ? { json: await blobs.put(json), config: await blobs.put(config) } : undefined
  const files = await putFiles(options.files ?? {}, blobs)
  return parseManifest({
    v: 1,
    name,
    title: (options.title ?? source.title) || name,
    task: options.task ?? source.task,
    license: (options.license ?? source.license) || 'unknown',
    origin: options.origin ?? '',
    graph,
    ...cut.layout,
    blocks: blocksOfManifest(cut, layout),
    shards,
    ...(source.decoder ? { decoder: source.decoder } : {}),
    ...(source.embedding ? { embedding: source.embedding } : {}),
    ...(tokenizer ? { tokenizer } : {}),
    ...(files ? { files } : {}),
    golden,
  })
}

const blocksOfManifest = (cut: CutSource, layout: ShardLayout): Manifest['blocks'] =>
  cut.blocks.map(({ residentBytes, cost }, i) => ({ shards: [...(layout.ofBlock[i] ?? [])], residentBytes, cost }))

/** The graph calls shard i this. */
const shardPrefix = 'shard-'

async function writeShards(
  source: SourceModel,
  layout: ShardLayout,
  blobs: BlobFolder,
  report: (done: number, total: number) => void,
  signal: AbortSignal | undefined,
): Promise<BlobRef[]> {
  const total = layout.shards.reduce((sum, shard) => sum + shard.bytes, 0)
  let done = 0
  const shards: BlobRef[] = []
  for (const shard of layout.shards) {
    const blob = await blobs.write(async (add) => {
      let at = 0
      for (const { location, offset, bytes } of shard.parts) {
        if (signal?.aborted) throw new ManyhandsError('aborted', 'Stopped.')
        const part = await source.parts.get(location)?.load()
        if (part?.length !== bytes) throw new ManyhandsError('internal', `The weight ${location} has not the size it was said to have.`)
        if (offset > at) await add(new Uint8Array(offset - at))
        await add(part)
        at = offset + bytes
      }
    })
    shards.push(blob)
    report((done += shard.bytes), total)
  }
  return shards
}

/** The graph with its weights where the shards have them. */
function inShards(model: Model, layout: ShardLayout): Model {
  const places = new Map(
    layout.shards.flatMap(({ parts }, i) =>
      parts.map((part) => [part.location, { location: `${shardPrefix}${i}`, start: part.offset }] as const),
    ),
  )
  const initializers = model.graph.initializers.flatMap((tensor): Tensor[] => {
    const { data } = tensor
    if (data.kind !== 'external') return [tensor]
    const place = places.get(data.location)
    // A weight that no block reads is not published.
    return place ? [{ ...tensor, data: { ...data, location: place.location, offset: place.start + data.offset } }] : []
  })
  return { ...model, graph: { ...model.graph, initializers } }
}

async function putFiles(files: Readonly<Record<string, Bytes>>, blobs: BlobFolder): Promise<Record<string, BlobRef> | undefined> {
  const stored: Record<string, BlobRef> = {}
  for (const [name, bytes] of Object.entries(files)) stored[name] = await blobs.put(bytes)
  return Object.keys(stored).length > 0 ? stored : undefined
}

/** Lower case, words joined by dashes, as a manifest's name must be. */
function asName(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, '-')
    .replace(/^[^a-z0-9]+|-+$/g, '')
    .slice(0, 80)
  return name === '' ? 'model' : name
}
