/**
 * The blob store over a platform's files: what is kept is checked by size and hash at every use, what is missing is
 * fetched (the rest of it, where a part is there), and the oldest-used make room. Where nothing can be kept it still works.
 */
import type { Bytes } from '../../protocol/bytes.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { sha256 } from '../../protocol/hash.ts'
import type { BlobRef } from '../../protocol/manifest.ts'
import type { BlobFiles, OpenFile } from './blob-files.ts'
import type { Blob, BlobOptions, BlobStore, BlobUsage } from './blob-store.ts'
import { download, waitFor } from './download.ts'

export interface StoredBlobsOptions {
  /** Base URL, ending in a slash: a blob is at `<base><hash>`. */
  readonly blobsUrl: string
  readonly files: BlobFiles
  /** Most bytes kept on this device. */
  readonly limitBytes: number
  readonly fetch?: typeof fetch
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
  readonly now?: () => number
}

/** Room for the chat model ten times over; browsers give an origin far more before they ask. */
export const defaultLimitBytes = 1024 ** 3
/**
 * What was used this recently makes no room for others: a stage larger than the limit would otherwise drop its own shards
 * one after the other, and find none of them on the second visit.
 */
const recentMs = 10 * 60_000
/** Pieces are written to the file in lots of this size: one system call for a few hundred network reads. */
const lotBytes = 1024 ** 2

export function storedBlobs(options: StoredBlobsOptions): BlobStore {
  return new StoredBlobs(options)
}

class StoredBlobs implements BlobStore {
  readonly #options: Required<StoredBlobsOptions>
  /** Bytes that files now being written will have. */
  readonly #planned = new Map<string, number>()
  /** Making room is one step after the other: two at once would both count on the same bytes. */
  #room: Promise<unknown> = Promise.resolve()

  constructor(options: StoredBlobsOptions) {
    this.#options = { fetch: globalThis.fetch.bind(globalThis), wait: waitFor, now: Date.now, ...options }
  }

  get(ref: BlobRef, options: BlobOptions): Promise<Blob> {
    return this.#options.files.exclusive(ref.hash, options.signal, () => this.#get(ref, options))
  }

  async usage(): Promise<BlobUsage> {
    const files = await this.#options.files.list()
    return { bytes: files.reduce((sum, f) => sum + f.bytes, 0), limitBytes: this.#options.limitBytes }
  }

  async clear(): Promise<void> {
    for (const file of await this.#options.files.list()) await this.#options.files.remove(file.name)
  }

  async #get(ref: BlobRef, { signal, onBytes }: BlobOptions): Promise<Blob> {
    if (signal.aborted) throw new ManyhandsError('aborted', 'The download was stopped.')
    const bytes = allocate(ref.bytes)
    const kept = await Keeping.open(this.#options.files, ref)
    try {
      const from = await kept.read(bytes)
      if (from === ref.bytes && (await isRight(bytes, ref))) {
        await kept.touch()
        onBytes?.(ref.bytes)
        return { bytes, fetchedBytes: 0 }
      }
      await kept.reserve(() => this.#makeRoom(ref))
      const fetchedBytes = await this.#fetch(ref, bytes, from < ref.bytes ? from : 0, kept, { signal, ...(onBytes ? { onBytes } : {}) })
      await kept.flush(bytes)
      return kept.error ? { bytes, fetchedBytes, notKept: kept.error } : { bytes, fetchedBytes }
    } finally {
      this.#planned.delete(ref.hash)
      await kept.close()
    }
  }

  /** The blob from byte `from` on; a wrong hash is given one more try from the start. */
  async #fetch(ref: BlobRef, into: Bytes, from: number, kept: Keeping, { signal, onBytes }: BlobOptions): Promise<number> {
    const { blobsUrl, fetch, wait } = this.#options
    let fetched = 0
    for (let start = from, tries = 0; ; start = 0, tries++) {
      await kept.startAt(start)
      onBytes?.(start)
      const onPiece = async (at: number, piece: Uint8Array) => {
        await kept.add(into, at, piece.length)
        onBytes?.(at + piece.length)
      }
      fetched += await download({ url: blobsUrl + ref.hash, into, from: start, signal, onPiece, fetch, wait })
      if (await isRight(into, ref)) return fetched
      await kept.startAt(0)
      if (start === 0 || tries > 0) {
        throw new ManyhandsError(
          'hash-mismatch',
          `${blobsUrl}${ref.hash} has other bytes than its hash says: the server's copy is damaged.`,
        )
      }
    }
  }

  /** @throws ManyhandsError no-space when the limit leaves no room beside what is in use */
  #makeRoom(ref: BlobRef): Promise<void> {
    const { files, limitBytes, now } = this.#options
    const made = this.#room.then(async () => {
      const entries = (await files.list())
        .filter((f) => f.name !== ref.hash && !this.#planned.has(f.name))
        .sort((a, b) => a.usedAt - b.usedAt)
      const planned = [...this.#planned.values()].reduce((sum, n) => sum + n, 0)
      let total = entries.reduce((sum, f) => sum + f.bytes, planned + ref.bytes)
      for (const entry of entries) {
        if (total <= limitBytes || now() - entry.usedAt < recentMs) break
        await files.remove(entry.name)
        total -= entry.bytes
      }
      if (total > limitBytes)
        throw new ManyhandsError('no-space', `The limit of ${limitBytes} bytes for model files is full; this one is not kept.`)
      this.#planned.set(ref.hash, ref.bytes)
    })
    this.#room = made.catch(() => undefined)
    return made
  }
}

/** One blob's file while it is read or written. The first thing that goes wrong ends the keeping, never the getting. */
class Keeping {
  error: ManyhandsError | undefined
  readonly #files: BlobFiles
  readonly #name: string
  #file: OpenFile | undefined
  /** Bytes of the blob that the file holds. */
  #written = 0

  constructor(files: BlobFiles, ref: BlobRef) {
    this.#files = files
    this.#name = ref.hash
  }

  static async open(files: BlobFiles, ref: BlobRef): Promise<Keeping> {
    const keeping = new Keeping(files, ref)
    try {
      keeping.#file = await files.open(ref.hash)
      if (!keeping.#file) keeping.error = new ManyhandsError('busy', 'Another tab is writing this file.')
    } catch (thrown) {
      await keeping.#giveUp(thrown)
    }
    return keeping
  }

  /** Fills the start of `into` with what the file has, and says how much that is. */
  async read(into: Bytes): Promise<number> {
    const have = Math.min(this.#file?.bytes ?? 0, into.length)
    await this.#try((file) => file.read(into.subarray(0, have)))
    this.#written = have
    return this.#file ? have : 0
  }

  touch(): Promise<void> {
    return this.#try((file) => file.touch())
  }

  reserve(makeRoom: () => Promise<void>): Promise<void> {
    return this.#try(makeRoom)
  }

  async startAt(at: number): Promise<void> {
    if (at === this.#written) return
    this.#written = at
    await this.#try((file) => file.truncate(at))
  }

  /** `length` bytes of the blob came, from `at` on; they are written in lots. */
  async add(blob: Bytes, at: number, length: number): Promise<void> {
    if (at < this.#written) await this.startAt(at)
    if (at + length - this.#written >= lotBytes) await this.flush(blob.subarray(0, at + length))
  }

  /** Writes what `blob` has beyond the file. */
  async flush(blob: Bytes): Promise<void> {
    const from = this.#written
    await this.#try((file) => file.write(blob.subarray(from), from))
    this.#written = blob.length
  }

  async close(): Promise<void> {
    await this.#file?.close().catch(() => undefined)
    this.#file = undefined
  }

  async #try(work: (file: OpenFile) => Promise<void>): Promise<void> {
    if (!this.#file) return
    try {
      await work(this.#file)
    } catch (thrown) {
      await this.#giveUp(thrown)
    }
  }

  async #giveUp(thrown: unknown): Promise<void> {
    this.error ??=
      thrown instanceof ManyhandsError
        ? thrown
        : new ManyhandsError('internal', 'The device could not keep a model file.', { cause: thrown })
    await this.close()
    await this.#files.remove(this.#name).catch(() => undefined)
  }
}

const isRight = async (bytes: Bytes, ref: BlobRef): Promise<boolean> => (await sha256(bytes)) === ref.hash

function allocate(bytes: number): Bytes {
  try {
    return new Uint8Array(bytes)
  } catch (cause) {
    throw new ManyhandsError(
      'out-of-memory',
      `There is no memory for a file of ${bytes} bytes: close other tabs or give a smaller share.`,
      { cause },
    )
  }
}
