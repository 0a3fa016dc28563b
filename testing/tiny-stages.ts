/**
 * A published model, a tiny decoder as a rule, and engines for its blocks, in this process: what tests of the engine start from.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlobFolder } from '../models/blob-store.ts'
import { importModel, type ImportOptions } from '../models/import.ts'
import type { Bytes } from '../protocol/bytes.ts'
import type { Hash } from '../protocol/ids.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { BlobStore } from '../worker/blobs/blob-store.ts'
import type { LoadRequest, StageEngine } from '../worker/engine/engine.ts'
import { loadStage, type StagePlatform } from '../worker/engine/load-stage.ts'
import { ortFromPackage } from '../worker/engine/node-engine.ts'
import { tinyLlama, type TinyLlamaOptions } from './tiny-llama.ts'

export interface PublishedModel {
  readonly manifest: Manifest
  /** Every blob by its hash, in memory. */
  readonly blobs: ReadonlyMap<Hash, Bytes>
}

export const publishTiny = (options: TinyLlamaOptions = {}): Promise<PublishedModel> => publish(tinyLlama(options), { name: 'tiny' })

/** @param file a path, or the file's bytes */
export async function publish(file: string | Bytes, options: ImportOptions): Promise<PublishedModel> {
  const directory = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  try {
    const folder = new BlobFolder(directory)
    const manifest = await importModel(file, folder, options)
    const { graph, shards, golden } = manifest
    const blobs = new Map<Hash, Bytes>()
    for (const { hash } of [graph, ...shards, golden.inputs, ...golden.cuts, golden.outputs]) blobs.set(hash, await folder.get(hash))
    return { manifest, blobs }
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** A blob store over what was published. */
export function publishedBlobs({ blobs }: PublishedModel): BlobStore {
  return {
    get: async (ref, { onBytes }) => {
      onBytes?.(ref.bytes)
      return { bytes: blobs.get(ref.hash) as Bytes, fetchedBytes: ref.bytes }
    },
    usage: async () => ({ bytes: 0, limitBytes: 0 }),
    clear: async () => undefined,
  }
}

/** An engine for some blocks: on wasm, with one thread, in this process. */
export function loadHere(
  model: PublishedModel,
  first: number,
  end: number,
  request: Partial<LoadRequest> = {},
  platform: Partial<StagePlatform> = {},
): Promise<StageEngine> {
  return loadStage(
    { manifest: model.manifest, range: { first, end }, backends: ['wasm'], memoryBytes: 2 ** 30, ...request },
    { ort: ortFromPackage(), blobs: publishedBlobs(model), threads: 1, ...platform },
    { signal: new AbortController().signal, onProgress: () => undefined },
  )
}
