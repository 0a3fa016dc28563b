/**
 * A model's manifest and files for a replay, each checked against its hash: from a library on this machine where it has the
 * revision, else from the server, kept for the next time.
 */
import { join } from 'node:path'
import { openLibrary } from '../../models/library.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import type { BlockRange, Manifest } from '../../protocol/manifest.ts'
import { discover, fetchManifest } from '../../sdk/network/discovery.ts'
import type { BlobStore } from '../../worker/blobs/blob-store.ts'
import { NodeFiles } from '../../worker/blobs/node-files.ts'
import { defaultLimitBytes, storedBlobs } from '../../worker/blobs/stored-blobs.ts'
import type { StageEngine } from '../../worker/engine/engine.ts'
import { loadStage } from '../../worker/engine/load-stage.ts'
import { ortFromPackage } from '../../worker/engine/node-engine.ts'

export interface ModelFiles {
  readonly manifest: Manifest
  /** For people: where the files come from. */
  readonly from: string
  load(range: BlockRange): Promise<StageEngine>
}

/** What a wasm heap can grow to: a replay's only bound, since it holds one stage at a time. */
const memoryBytes = 4 * 1024 ** 3

/** @throws ManyhandsError when neither has the model */
export async function modelFiles(revision: Revision, data: string, server: string, threads: number | undefined): Promise<ModelFiles> {
  const { manifest, blobs, from } = await sourceOf(revision, data, server)
  const platform = { ort: ortFromPackage(), blobs, ...(threads === undefined ? {} : { threads }) }
  return {
    manifest,
    from,
    load: (range) =>
      loadStage({ manifest, range, backends: ['wasm'], memoryBytes }, platform, {
        signal: new AbortController().signal,
        onProgress: () => undefined,
      }),
  }
}

async function sourceOf(revision: Revision, data: string, server: string): Promise<{ manifest: Manifest; blobs: BlobStore; from: string }> {
  const library = openLibrary(data)
  try {
    return { manifest: await library.manifest(revision), blobs: folderBlobs(library.blobs), from: data }
  } catch (thrown) {
    const error = asError(thrown)
    if (error.code !== 'unknown-model') throw error
  }
  try {
    const info = await discover(server)
    const manifest = await fetchManifest(info, revision)
    const files = new NodeFiles(join(data, 'weights'))
    return { manifest, blobs: storedBlobs({ blobsUrl: info.blobsUrl, files, limitBytes: defaultLimitBytes }), from: server }
  } catch (thrown) {
    const error = asError(thrown)
    throw new ManyhandsError(
      error.code,
      `The model ${revision.slice(0, 12)} is not in ${data}, and ${server} does not give it: ${error.message}`,
      { cause: thrown },
    )
  }
}

const folderBlobs = (folder: ReturnType<typeof openLibrary>['blobs']): BlobStore => ({
  async get({ hash }, { onBytes }) {
    const bytes = await folder.get(hash)
    onBytes?.(bytes.length)
    return { bytes, fetchedBytes: 0 }
  },
  usage: async () => ({ bytes: 0, limitBytes: 0 }),
  clear: async () => undefined,
})
