/**
 * The port through which a stage gets its graph, shards and goldens: bytes by their hash, from the network once and from
 * the device's own store ever after.
 */
import type { Bytes } from '../../protocol/bytes.ts'
import type { ManyhandsError } from '../../protocol/errors.ts'
import type { BlobRef } from '../../protocol/manifest.ts'

export interface BlobOptions {
  readonly signal: AbortSignal
  /** Bytes of this blob that are there, from the network or the store; may fall back when a download starts again. */
  readonly onBytes?: (done: number) => void
}

export interface Blob {
  /** Exactly `ref.bytes` long and of the hash that was asked for. */
  readonly bytes: Bytes
  /** Bytes that came over the network for it: 0 when the store had it all. */
  readonly fetchedBytes: number
  /** Why it will have to be fetched again next time; absent when it was kept. */
  readonly notKept?: ManyhandsError
}

export interface BlobUsage {
  readonly bytes: number
  readonly limitBytes: number
}

export interface BlobStore {
  /**
   * @throws ManyhandsError not-found, hash-mismatch, unavailable (the network, after retries), out-of-memory, aborted.
   * A full disk is no error: the bytes come, with `notKept` saying so.
   */
  get(ref: BlobRef, options: BlobOptions): Promise<Blob>
  usage(): Promise<BlobUsage>
  /** Removes everything kept, also what other tabs of this origin kept. */
  clear(): Promise<void>
}
