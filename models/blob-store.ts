/**
 * Files by their SHA-256 in one folder. A blob appears under its name only when it is whole.
 */
import { createHash, randomUUID } from 'node:crypto'
import { open, readdir, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '../protocol/hash.ts'
import { isHash, type Hash } from '../protocol/ids.ts'
import type { BlobRef } from '../protocol/manifest.ts'
import type { Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { makeFolder } from './folder.ts'

const partialSuffix = '.partial'

export class BlobFolder {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** Where a blob lies, or would. */
  path(hash: Hash): string {
    if (!isHash(hash)) throw new ManyhandsError('bad-input', 'A blob is named by 64 hex digits.')
    return join(this.directory, hash)
  }

  async has(blob: BlobRef): Promise<boolean> {
    const found = await stat(this.path(blob.hash)).catch(() => undefined)
    return found?.size === blob.bytes
  }

  async put(bytes: Uint8Array): Promise<BlobRef> {
    return this.write(async (add) => add(bytes))
  }

  /** A blob written piece by piece; `fill` is given the way to add a piece. */
  async write(fill: (add: (piece: Uint8Array) => Promise<void>) => Promise<void>): Promise<BlobRef> {
    await makeFolder(this.directory)
    const partial = join(this.directory, `${randomUUID()}${partialSuffix}`)
    const hash = createHash('sha256')
    let bytes = 0
    try {
      const file = await open(partial, 'wx')
      try {
        await fill(async (piece) => {
          hash.update(piece)
          await writeFully(file, piece, bytes)
          bytes += piece.length
        })
      } finally {
        await file.close()
      }
      const name = hash.digest('hex') as Hash
      await rename(partial, this.path(name))
      return { hash: name, bytes }
    } catch (thrown) {
      await rm(partial, { force: true })
      const code = (thrown as NodeJS.ErrnoException).code
      if (code === 'ENOSPC' || code === 'EDQUOT')
        throw new ManyhandsError('no-space', 'The disk is full: make room and import again.', { cause: thrown })
      throw thrown
    }
  }

  /**
   * A blob's bytes, checked.
   * @throws ManyhandsError not-found, or hash-mismatch when the file was damaged
   */
  async get(hash: Hash): Promise<Bytes> {
    const file = await readFile(this.path(hash)).catch((cause: unknown) => {
      throw new ManyhandsError('not-found', `The library has no file ${hash}: remove the model and add it again.`, { cause })
    })
    // Plain: the slice of a Node Buffer is a view, that of every other array a copy.
    const bytes: Bytes = new Uint8Array(file.buffer, file.byteOffset, file.length)
    if ((await sha256(bytes)) !== hash)
      throw new ManyhandsError('hash-mismatch', `The library's file ${hash} is damaged: remove the model and add it again.`)
    return bytes
  }

  /** Removes every blob that is not wanted, and what broken-off imports left. */
  async keepOnly(wanted: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.directory).catch(() => [])) {
      if ((isHash(name) && !wanted.has(name)) || name.endsWith(partialSuffix)) await rm(join(this.directory, name), { force: true })
    }
  }
}

/** All of `bytes` at `position`: one call of the system may write less. */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten
}
