/**
 * Files in their compressed form, made once and kept in memory under a bound: onnxruntime's wasm goes out at a quarter of its
 * 14 MB. Several visitors who ask at once share one compression.
 */
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

export type Encoding = 'br' | 'gzip'

const toGzip = promisify(gzip)
const toBrotli = promisify(brotliCompress)
/** Better than gzip's best, at about gzip's speed; quality 11 would take half a minute for the engine. */
const brotliQuality = 5
/** Below this the headers weigh as much. */
const minBytes = 1024
/** Larger ones are streamed as they are. */
const maxBytes = 32 * 1024 * 1024
const compressible = /^(text\/|application\/(json|wasm|manifest\+json)|image\/svg)/

export const worthCompressing = (mime: string, bytes: number): boolean => bytes >= minBytes && bytes <= maxBytes && compressible.test(mime)

/** The better one that the client takes; `q=0` is a no. */
export function chooseEncoding(acceptEncoding: string | null): Encoding | undefined {
  const taken = new Set<string>()
  for (const part of (acceptEncoding ?? '').toLowerCase().split(',')) {
    const [name = '', ...params] = part.split(';').map((s) => s.trim())
    if (!params.some((param) => /^q=0(\.0*)?$/.test(param))) taken.add(name)
  }
  return taken.has('br') ? 'br' : taken.has('gzip') ? 'gzip' : undefined
}

export class CompressedFiles {
  readonly #maxBytes: number
  /** In the order of last use. */
  readonly #kept = new Map<string, Promise<Buffer>>()
  readonly #sizes = new Map<string, number>()
  #bytes = 0

  constructor(maxCachedBytes: number) {
    this.#maxBytes = maxCachedBytes
  }

  get cachedBytes(): number {
    return this.#bytes
  }

  /** @param version changes whenever the file does, e.g. its ETag */
  get(path: string, version: string, encoding: Encoding): Promise<Buffer> {
    const key = `${encoding} ${version} ${path}`
    const kept = this.#kept.get(key) ?? this.#make(key, path, encoding)
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    return kept
  }

  async #make(key: string, path: string, encoding: Encoding): Promise<Buffer> {
    try {
      const plain = await readFile(path)
      const packed =
        encoding === 'gzip'
          ? await toGzip(plain)
          : await toBrotli(plain, {
              params: { [constants.BROTLI_PARAM_QUALITY]: brotliQuality, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length },
            })
      this.#sizes.set(key, packed.length)
      this.#bytes += packed.length
      this.#trim()
      return packed
    } catch (thrown) {
      this.#kept.delete(key)
      throw thrown
    }
  }

  #trim(): void {
    for (const key of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes) return
      const size = this.#sizes.get(key)
      // Still being made: it is counted when done.
      if (size === undefined) continue
      this.#kept.delete(key)
      this.#sizes.delete(key)
      this.#bytes -= size
    }
  }
}
