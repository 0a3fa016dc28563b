/**
 * Where an importer reads a model file from: a file on disk, or bytes in memory. Weights are read tensor by tensor, so
 * that a file larger than memory can be imported.
 */
import { open } from 'node:fs/promises'
import type { Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'

export interface ByteSource {
  /** For messages: a path, or what the bytes are. */
  readonly name: string
  /** Size in bytes. */
  readonly size: number
  /**
   * Exactly `length` bytes from `offset`.
   * @throws ManyhandsError bad-model when the source ends before
   */
  read(offset: number, length: number): Promise<Bytes>
  close(): Promise<void>
}

export function bytesSource(bytes: Uint8Array, name = 'bytes in memory'): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (offset, length) => {
      if (offset + length > bytes.length) throw endsEarly(name)
      return bytes.slice(offset, offset + length)
    },
    close: async () => {},
  }
}

/** @throws ManyhandsError not-found */
export async function fileSource(path: string): Promise<ByteSource> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new ManyhandsError('not-found', `Can't open ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  })
  const { size } = await file.stat()
  return {
    name: path,
    size,
    read: async (offset, length) => {
      if (offset + length > size) throw endsEarly(path)
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length;) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at)
        if (bytesRead === 0) throw endsEarly(path)
        at += bytesRead
      }
      return bytes
    },
    close: () => file.close(),
  }
}

const endsEarly = (name: string) => new ManyhandsError('bad-model', `${name} ends before its contents do: download it again.`)
