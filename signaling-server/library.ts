/**
 * The models that the server offers: the library's, read again when its folder changes. Damaged ones are left out and said;
 * every file that the others name can be found by its hash.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Library, LibraryModel } from '../models/library.ts'
import { isPublished } from '../models/publisher.ts'
import { asError } from '../protocol/errors.ts'
import type { Hash, Revision } from '../protocol/ids.ts'
import { manifestBlobs } from '../protocol/manifest.ts'

/** The command `models` may add one at any time: a look at the folder's date costs microseconds. */
const lookMs = 1_000
/** A folder changed so lately may change again within the same tick of its clock: it is read once more. */
const settledMs = 2_000

export class OfferedModels {
  readonly #library: Library
  readonly #changed: (models: readonly LibraryModel[]) => Promise<void>
  readonly #log: (line: string) => void
  readonly #looks: NodeJS.Timeout
  #models: readonly LibraryModel[] = []
  /** Bytes by hash. */
  #blobs = new Map<string, number>()
  /** Of the folder when it was last read, or -1 when it must be read again. */
  #readAt = -1
  #complaints = new Set<string>()
  /** Files whose damage has been logged. */
  readonly #spoilt = new Set<string>()
  #reading: Promise<void> = Promise.resolve()

  constructor(library: Library, changed: (models: readonly LibraryModel[]) => Promise<void>, log: (line: string) => void) {
    this.#library = library
    this.#changed = changed
    this.#log = log
    this.#looks = setInterval(() => void this.look(), lookMs)
    this.#looks.unref()
  }

  get models(): readonly LibraryModel[] {
    return this.#models
  }

  /** Reads the library when it has changed; `always` also when it seems not to. Never throws: what can't be read is logged. */
  look(always = false): Promise<void> {
    this.#reading = this.#reading
      .then(() => this.#read(always))
      .catch((thrown: unknown) => {
        this.#readAt = -1
        this.#complain([asError(thrown).message])
      })
    return this.#reading
  }

  close(): void {
    clearInterval(this.#looks)
  }

  /** Canonical JSON, as it was hashed. */
  async manifest(revision: Revision): Promise<string | undefined> {
    if (!this.#models.some((m) => m.revision === revision)) return undefined
    return readFile(this.#library.manifestPath(revision), 'utf8')
  }

  /** A file that some offered model names; undefined when there is none, or when it has been damaged. */
  async blob(hash: Hash): Promise<{ path: string; bytes: number } | undefined> {
    const bytes = this.#blobs.get(hash)
    if (bytes === undefined) return undefined
    const path = this.#library.blobPath(hash)
    const found = await stat(path).catch(() => undefined)
    if (found?.size === bytes) {
      this.#spoilt.delete(hash)
      return { path, bytes }
    }
    if (!this.#spoilt.has(hash))
      this.#log(`${path} is ${found ? `damaged: ${found.size} bytes instead of ${bytes}` : 'missing'}. Remove its model and add it again.`)
    this.#spoilt.add(hash)
    return undefined
  }

  async #read(always: boolean): Promise<void> {
    const folder = dirname(this.#library.manifestPath('0'.repeat(64) as Revision))
    const changedAt = (await stat(folder).catch(() => undefined))?.mtimeMs ?? 0
    if (changedAt === this.#readAt && !always) return
    this.#readAt = Date.now() - changedAt > settledMs ? changedAt : -1
    const complaints: string[] = []
    const models: LibraryModel[] = []
    for (const model of await this.#library.models((error) => complaints.push(error.message))) {
      if (model.publication.revision === model.revision && (await isPublished(model.publication))) models.push(model)
      else complaints.push(`${model.manifest.name} (${model.revision.slice(0, 12)}) is not offered: its publisher's signature is wrong.`)
    }
    this.#complain(complaints)
    if (sameRevisions(models, this.#models)) return
    await this.#changed(models)
    this.#models = models
    this.#blobs = new Map(models.flatMap(({ manifest }) => manifestBlobs(manifest).map((blob) => [blob.hash, blob.bytes] as const)))
  }

  /** Each complaint once, as long as it lasts. */
  #complain(lines: readonly string[]): void {
    for (const line of lines) if (!this.#complaints.has(line)) this.#log(line)
    this.#complaints = new Set(lines)
  }
}

const sameRevisions = (a: readonly LibraryModel[], b: readonly LibraryModel[]) =>
  a.length === b.length && a.every((model, i) => model.revision === b[i]?.revision)
