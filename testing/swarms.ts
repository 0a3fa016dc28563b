/** Models and volunteers for tests of the server's decisions: manifests of plain blocks with no files behind them. */
import type { Hash, PeerId, Revision } from '../protocol/ids.ts'
import type { BlockRange, Manifest } from '../protocol/manifest.ts'
import { planOf, type Model, type Ready, type StageCount, type Volunteer } from '../signaling-server/swarm.ts'

/** 64 hex digits that end in a number. */
const numbered = (n: number) => n.toString(16).padStart(64, '0')
export const peerOf = (n: number): PeerId => numbered(n) as PeerId
export const revisionOf = (n: number): Revision => numbered(n) as Revision

/** A model of equally costly blocks that take so many bytes each, without a decoder: its weights are all that it needs. */
export function plainManifest(blockBytes: readonly number[], decoder?: Manifest['decoder']): Manifest {
  const blob = { hash: numbered(0) as Hash, bytes: 1 }
  return {
    v: 1,
    name: 'plain',
    title: 'Plain',
    task: decoder ? 'text-generation' : 'other',
    license: 'Apache-2.0',
    origin: 'a test',
    graph: blob,
    inputs: [{ name: 'x', dtype: 'float32', shape: [1], role: 'feed' }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [1], role: 'result' }],
    blocks: blockBytes.map((residentBytes) => ({ shards: [], residentBytes, cost: 1 })),
    cuts: blockBytes.slice(1).map(() => ({ tensors: [{ name: 'x', dtype: 'float32', shape: [1] }] })),
    shards: [],
    ...(decoder ? { decoder } : {}),
    golden: { runs: [1], inputs: blob, cuts: blockBytes.slice(1).map(() => blob), outputs: blob, outputRows: [] },
  }
}

export function plainModel(n: number, blockBytes: readonly number[], stages: StageCount = blockBytes.length): Model {
  const manifest = plainManifest(blockBytes)
  return { revision: revisionOf(n), manifest, plan: planOf(manifest, stages), demand: 0, demandAt: 0 }
}

export const usualReady: Ready = { backend: 'wasm', adapter: '', rowLimit: 16, msPerRow: 20, cachePositions: 1000 }

/** One that allows a gigabyte and holds nothing yet. */
export function plainVolunteer(n: number, change: Partial<Volunteer> = {}): Volunteer {
  return {
    peer: peerOf(n),
    key: numbered(n),
    memoryBytes: 2 ** 30,
    power: 1,
    backends: ['wasm'],
    models: [],
    since: 0,
    willing: true,
    paused: false,
    sessions: 0,
    positions: 0,
    failures: new Map(),
    ...change,
  }
}

/** One that holds a range, and serves unless `ready` says otherwise. */
export function holder(n: number, revision: Revision, blocks: BlockRange, ready: Ready | undefined = usualReady): Volunteer {
  const lease = n.toString(16).padStart(32, '0')
  return plainVolunteer(n, { holding: { lease, revision, blocks, expiresAt: Infinity, ...(ready ? { ready } : {}) } })
}
