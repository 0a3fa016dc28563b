/**
 * The blob store's files in the origin's private file system, for a tab's worker: synchronous access handles are fast,
 * held by one tab at a time, and what they wrote survives a crash. Other tabs wait for each other with Web Locks.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import { isHash } from '../../protocol/ids.ts'
import type { BlobFiles, FileEntry, OpenFile } from './blob-files.ts'

/** The folder in the origin's file system. */
const folder = 'manyhands-blobs'
/** How long a tab waits for another that fetches the same blob, before it fetches for itself: a shard at 2 Mbit/s. */
const longestWaitMs = 60_000
/** Chromium now and then leaves a request to open a file unanswered; past this the file is done without. */
const openMs = 5_000

/** What TypeScript's worker library has and its DOM library lacks. */
interface SyncAccessHandle {
  read(into: Uint8Array, options: { at: number }): number
  write(bytes: Uint8Array, options: { at: number }): number
  truncate(bytes: number): void
  getSize(): number
  flush(): void
  close(): void
}
type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> }

export class OpfsFiles implements BlobFiles {
  #directory: Promise<FileSystemDirectoryHandle> | undefined
  /** Requests to the file system go one after the other: several at once are what it leaves unanswered. */
  #turn: Promise<unknown> = Promise.resolve()

  list(): Promise<FileEntry[]> {
    return this.#inTurn(() => this.#list())
  }

  open(name: string): Promise<OpenFile | undefined> {
    return this.#inTurn(() => this.#openFile(name))
  }

  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const directory = await this.#open().catch(() => undefined)
      // Not there, or held by another tab: either way nothing is to be done here.
      await directory?.removeEntry(name).catch(() => undefined)
    })
  }

  async #list(): Promise<FileEntry[]> {
    const entries: FileEntry[] = []
    const directory = await this.#open().catch(() => undefined)
    if (!directory) return entries
    for await (const [name, handle] of directory.entries()) {
      if (!isHash(name) || handle.kind !== 'file') continue
      const file = await handle.getFile().catch(() => undefined)
      if (file) entries.push({ name, bytes: file.size, usedAt: file.lastModified })
    }
    return entries
  }

  async #openFile(name: string): Promise<OpenFile | undefined> {
    const opening = this.#accessHandle(name)
    try {
      return new OpfsFile(await within(openMs, opening))
    } catch (cause) {
      // Should it open after all, nobody else may wait for it.
      void opening.then(
        (handle) => handle.close(),
        () => undefined,
      )
      if (cause instanceof DOMException && cause.name === 'NoModificationAllowedError') return undefined
      throw asStorageError(cause)
    }
  }

  async #accessHandle(name: string): Promise<SyncAccessHandle> {
    const handle = (await (await this.#open()).getFileHandle(name, { create: true })) as SyncFileHandle
    return handle.createSyncAccessHandle()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }

  async exclusive<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const patience = AbortSignal.timeout(longestWaitMs)
    const held: { started: boolean } = { started: false }
    try {
      const locked = await navigator.locks.request(`manyhands-blob-${name}`, { signal: AbortSignal.any([signal, patience]) }, async () => {
        held.started = true
        return { value: await work() }
      })
      return locked.value
    } catch (thrown) {
      if (held.started) throw thrown
      if (signal.aborted) throw new ManyhandsError('aborted', 'The download was stopped.')
      if (!patience.aborted) throw thrown
      return work()
    }
  }

  /** @throws when the browser gives no file system (private windows of some, no secure context) */
  #open(): Promise<FileSystemDirectoryHandle> {
    this.#directory ??= (async () => (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true }))()
    return this.#directory
  }
}

class OpfsFile implements OpenFile {
  readonly bytes: number
  readonly #handle: SyncAccessHandle

  constructor(handle: SyncAccessHandle) {
    this.#handle = handle
    this.bytes = handle.getSize()
  }

  async read(into: Uint8Array): Promise<void> {
    if (into.length > 0 && this.#handle.read(into, { at: 0 }) !== into.length) throw new Error('the file became shorter')
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    try {
      // A full disk may also show as a short write.
      if (this.#handle.write(bytes, { at }) !== bytes.length) throw new DOMException('short write', 'QuotaExceededError')
      this.#handle.flush()
    } catch (cause) {
      throw asStorageError(cause)
    }
  }

  async truncate(bytes: number): Promise<void> {
    this.#handle.truncate(bytes)
  }

  /** There is no way to set a file's time but to write: its first byte again. */
  async touch(): Promise<void> {
    if (this.bytes === 0) return
    const first = new Uint8Array(1)
    this.#handle.read(first, { at: 0 })
    this.#handle.write(first, { at: 0 })
  }

  async close(): Promise<void> {
    this.#handle.close()
  }
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function asStorageError(cause: unknown): ManyhandsError {
  if (cause instanceof DOMException && cause.name === 'QuotaExceededError') {
    return new ManyhandsError('no-space', "The browser's storage is full: model files are not kept.", { cause })
  }
  return new ManyhandsError('unsupported', 'This browser keeps no files for this page (a private window?): model files are not kept.', {
    cause,
  })
}
