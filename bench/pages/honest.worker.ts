/** An honest peer in a tab's worker. */
import * as Comlink from 'comlink'
import type { Manifest } from '../../protocol/manifest.ts'
import type { BlobStore } from '../../worker/blobs/blob-store.ts'
import { ortFromUrl } from '../../worker/engine/ort-source.ts'
import { HonestPeer, type HonestChunk, type HonestSetup, type HonestTask } from './honest.ts'

let peer: HonestPeer | undefined

/** Straight from the bench's site: nothing is kept. */
const blobsAt = (base: string): BlobStore => ({
  get: async (ref) => ({ bytes: new Uint8Array(await (await fetch(base + ref.hash)).arrayBuffer()), fetchedBytes: ref.bytes }),
  usage: async () => ({ bytes: 0, limitBytes: 0 }),
  clear: async () => undefined,
})

const honest = {
  async load(setup: HonestSetup): Promise<{ name: string; rowLimit: number }> {
    const folder = setup.manifest.slice(0, setup.manifest.lastIndexOf('/') + 1)
    const manifest = (await (await fetch(setup.base + setup.manifest)).json()) as Manifest
    peer = await HonestPeer.load(setup, manifest, { ort: ortFromUrl(`${setup.base}ort/`), blobs: blobsAt(`${setup.base}${folder}blobs/`) })
    return { name: peer.name, rowLimit: peer.rowLimit }
  },
  async chunks(task: HonestTask): Promise<HonestChunk[]> {
    if (!peer) throw new Error('load first')
    return peer.chunks(task)
  },
}
export type Honest = typeof honest

Comlink.expose(honest)
