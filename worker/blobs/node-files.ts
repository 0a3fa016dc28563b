/**
 * The blob store's files in a folder, for volunteers in Node. Several processes may share the folder: what they write is
 * the same bytes at the same places, and every reader checks the hash.
 */
import { constants } from 'node:fs'
import { mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { ManyhandsError } from '../../protocol/errors.ts'
import { isHash } from '../../protocol/ids.ts'
import type { BlobFiles, FileEntry, OpenFile } from './blob-files.ts'

export class NodeFiles implements BlobFiles {
  readonly #directory: string
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(directory: string) {
    this.#directory = directory
  }

  async list(): Promise<FileEntry[]> {
    const entries: FileEntry[] = []
    for (const name of await readdir(this.#directory).catch(() => [])) {
      if (!isHash(name)) continue
      const found = await stat(join(this.#directory, name)).catch(() => undefined)
      if (found) entries.push({ name, bytes: found.size, usedAt: found.mtimeMs })
    }
    return entries
  }

  async open(name: string): Promise<OpenFile> {
    try {
      await mkdir(this.#directory, { recursive: true })
      const path = join(this.#directory, name)
      const file = await open(path, constants.O_RDWR | constants.O_CREAT)
      return new NodeFile(file, (await file.stat()).size)
    } catch (cause) {
      throw asDiskError(cause)
    }
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#directory, name), { force: true })
  }

  async exclusive<T>(name: string, _signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(work)
    const settled = turn.catch(() => undefined)
    this.#turns.set(name, settled)
    try {
      return await turn
    } finally {
      if (this.#turns.get(name) === settled) this.#turns.delete(name)
    }
  }
}

class NodeFile implements OpenFile {
  readonly bytes: number
  readonly #file: FileHandle

  constructor(file: FileHandle, bytes: number) {
    this.#file = file
    this.bytes = bytes
  }

  async read(into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.length;) {
      const { bytesRead } = await this.#file.read(into, at, into.length - at, at)
      if (bytesRead === 0) throw new Error('the file became shorter')
      at += bytesRead
    }
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) done += (await this.#file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
    } catch (cause) {
      throw asDiskError(cause)
    }
  }

  truncate(bytes: number): Promise<void> {
    return this.#file.truncate(bytes)
  }

  async touch(): Promise<void> {
    const now = new Date()
    await this.#file.utimes(now, now)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

function asDiskError(cause: unknown): ManyhandsError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ManyhandsError('no-space', 'The disk is full: model files are not kept.', { cause })
  return new ManyhandsError('unsupported', `Model files can't be kept here (${code}): check the folder's permissions.`, { cause })
}
