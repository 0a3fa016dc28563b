/**
 * A stage's files, from the blob store: graph, the shards of its blocks, the goldens at its two ends. A few at a time, with
 * progress over all of them.
 */
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { shardsOf, type BlobRef, type BlockRange, type Manifest } from '../../protocol/manifest.ts'
import type { LoadProgress } from './engine.ts'

export interface StageFiles {
  readonly graph: Bytes
  /** By location in the graph: `shard-0`, … */
  readonly shards: ReadonlyMap<string, Bytes>
  readonly goldenInputs: Bytes
  readonly goldenOutputs: Bytes
  readonly fetchedBytes: number
  readonly storedBytes: number
  /** Why something will have to be fetched again next time; empty when everything was kept. */
  readonly notKept: string
}

/** Connections to one server: enough to fill a line, and HTTP/1.1 browsers stop at six. */
const atOnce = 4

/** @throws ManyhandsError what {@link BlobStore.get} throws */
export async function fetchStage(
  manifest: Manifest,
  range: BlockRange,
  blobs: BlobStore,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (progress: LoadProgress) => void },
): Promise<StageFiles> {
  const { golden } = manifest
  const shards = shardsOf(manifest, range)
  const goldenInputs = golden.cuts[range.first - 1] ?? golden.inputs
  const goldenOutputs = golden.cuts[range.end - 1] ?? golden.outputs
  const wanted: BlobRef[] = [manifest.graph, goldenInputs, goldenOutputs, ...shards.map((i) => manifest.shards[i] as BlobRef)]

  const totalBytes = wanted.reduce((sum, ref) => sum + ref.bytes, 0)
  const done = wanted.map(() => 0)
  const got: Bytes[] = []
  let fetchedBytes = 0
  let notKept = ''
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  let next = 0
  const lane = async () => {
    for (let i = next++; i < wanted.length; i = next++) {
      const ref = wanted[i] as BlobRef
      const blob = await blobs.get(ref, {
        signal: either,
        onBytes: (n) => {
          done[i] = n
          onProgress({ phase: 'fetching', doneBytes: done.reduce((a, b) => a + b, 0), totalBytes })
        },
      })
      got[i] = blob.bytes
      fetchedBytes += blob.fetchedBytes
      if (blob.notKept) notKept = blob.notKept.message
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, lane))
  } catch (thrown) {
    stop.abort()
    throw thrown
  }
  const [graph, inputs, outputs, ...weights] = got as [Bytes, Bytes, Bytes, ...Bytes[]]
  return {
    graph,
    shards: new Map(weights.map((bytes, i) => [`shard-${shards[i]}`, bytes])),
    goldenInputs: inputs,
    goldenOutputs: outputs,
    fetchedBytes,
    storedBytes: totalBytes - fetchedBytes,
    notKept,
  }
}
