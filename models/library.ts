/**
 * The models that a server offers, in one folder: blobs by hash, a manifest and its publisher's signature for each revision.
 * Fills from the catalogue or from files; the server reads it, the command `models` manages it.
 */
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fromUtf8, utf8, type Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { canonicalJson } from '../protocol/hash.ts'
import { isRevision, type Hash, type Revision } from '../protocol/ids.ts'
import { manifestBlobs, parseManifest, revisionOf, type Manifest } from '../protocol/manifest.ts'
import { publicationSchema, type Publication } from '../protocol/server-messages.ts'
import * as v from 'valibot'
import { BlobFolder } from './blob-store.ts'
import { catalogue, catalogueEntry, type CatalogueEntry } from './catalogue.ts'
import { makeFolder } from './folder.ts'
import { importerVersion, importModel, type ImportOptions } from './import.ts'
import type { OnProgress } from './progress.ts'
import { publish, publisherIdentity } from './publisher.ts'
import { fetchFiles } from './sources.ts'

export interface LibraryModel {
  readonly revision: Revision
  readonly manifest: Manifest
  readonly publication: Publication
}

export interface AddOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

export interface Library {
  readonly directory: string
  readonly blobs: BlobFolder
  /** Every model, by name. A damaged one is told to `damaged` and left out. @throws ManyhandsError bad-model naming a damaged file, where there is nobody to tell */
  models(damaged?: (error: ManyhandsError) => void): Promise<LibraryModel[]>
  /** @throws ManyhandsError unknown-model */
  manifest(revision: Revision): Promise<Manifest>
  /** A model by its name, its revision, or the first 8 or more digits of that. @throws ManyhandsError unknown-model */
  find(nameOrRevision: string): Promise<LibraryModel>
  /** Where a blob lies. @throws ManyhandsError bad-input when `hash` is none */
  blobPath(hash: Hash): string
  /** Canonical JSON whose SHA-256 is the revision. */
  manifestPath(revision: Revision): string
  /** A model of the catalogue: fetched, imported, signed. What this importer made of it already stays, what an older one made is replaced. @throws ManyhandsError unknown-model, unavailable, no-space, aborted */
  add(name: string, options?: AddOptions): Promise<LibraryModel>
  /** A GGUF, safetensors or ONNX file (a path, or its bytes). @throws ManyhandsError bad-model, unsupported, not-found, no-space, aborted */
  addFile(file: string | Bytes, options?: AddOptions & ImportOptions): Promise<LibraryModel>
  /** Removes a model and the blobs that no other one uses. @throws ManyhandsError unknown-model */
  remove(revision: Revision): Promise<void>
}

/** The folder is made when something is first put there. */
export function openLibrary(directory: string): Library {
  return new FolderLibrary(directory)
}

const publicationSuffix = '.publication.json'
/** Which entry of the catalogue a model was made from, and by which importer. */
const sourceSuffix = '.source.json'
const sourceOf = (entry: CatalogueEntry) => ({ entry, importer: importerVersion })
/** Fewer digits of a revision could mean several models. */
const shortestRevision = 8

class FolderLibrary implements Library {
  readonly directory: string
  readonly blobs: BlobFolder
  private readonly manifests: string

  constructor(directory: string) {
    this.directory = directory
    this.blobs = new BlobFolder(join(directory, 'blobs'))
    this.manifests = join(directory, 'models')
  }

  blobPath(hash: Hash): string {
    return this.blobs.path(hash)
  }

  manifestPath(revision: Revision): string {
    if (!isRevision(revision)) throw new ManyhandsError('bad-input', 'A revision is 64 hex digits.')
    return join(this.manifests, `${revision}.json`)
  }

  async models(damaged?: (error: ManyhandsError) => void): Promise<LibraryModel[]> {
    const names = await readdir(this.manifests).catch(() => [])
    const revisions = names.map((name) => name.replace(/\.json$/, '')).filter(isRevision)
    const models: LibraryModel[] = []
    for (const revision of revisions) {
      try {
        models.push(await this.load(revision))
      } catch (thrown) {
        if (!damaged || !(thrown instanceof ManyhandsError)) throw thrown
        damaged(thrown)
      }
    }
    return models.sort((a, b) => (a.manifest.name + a.revision < b.manifest.name + b.revision ? -1 : 1))
  }

  async manifest(revision: Revision): Promise<Manifest> {
    return (await this.load(revision)).manifest
  }

  async find(nameOrRevision: string): Promise<LibraryModel> {
    const byRevision = /^[0-9a-f]+$/.test(nameOrRevision) && nameOrRevision.length >= shortestRevision
    const found = (await this.models()).filter(
      (m) => m.manifest.name === nameOrRevision || (byRevision && m.revision.startsWith(nameOrRevision)),
    )
    if (found.length > 1)
      throw new ManyhandsError(
        'bad-input',
        `${nameOrRevision} means several models: name one by its revision (${found.map((m) => m.revision.slice(0, 12)).join(', ')}).`,
      )
    if (!found[0]) throw new ManyhandsError('unknown-model', `The library in ${this.directory} has no model ${nameOrRevision}.`)
    return found[0]
  }

  async add(name: string, options: AddOptions = {}): Promise<LibraryModel> {
    const entry = catalogueEntry(name)
    if (!entry)
      throw new ManyhandsError('unknown-model', `The catalogue has no model ${name}; it has ${catalogue.map((e) => e.name).join(', ')}.`)
    const wanted = canonicalJson(sourceOf(entry))
    const made = await this.madeOf(entry)
    const known = made.find(({ source }) => source === wanted)
    if (known) return known.model
    const downloads = join(this.directory, 'downloads')
    const { beside = {}, files = {}, title, license, origin, task, goldenDims, goldenFill } = entry
    const [weights = '', ...paths] = await fetchFiles(
      [entry.weights, ...Object.values(beside), ...Object.values(files)],
      downloads,
      options,
    )
    const bytes = await Promise.all(paths.map(async (path): Promise<Bytes> => new Uint8Array(await readFile(path))))
    const named = (wanted: object, from: number) =>
      Object.fromEntries(Object.keys(wanted).map((file, i) => [file, bytes[from + i] as Bytes]))
    const described: ImportOptions = {
      name: entry.name,
      title,
      license,
      origin,
      task,
      beside: named(beside, 0),
      files: named(files, Object.keys(beside).length),
      ...(goldenDims ? { goldenDims } : {}),
      ...(goldenFill ? { goldenFill } : {}),
    }
    const added = await this.addFile(weights, { ...options, ...described })
    await writeWhole(this.sourcePath(added.revision), wanted)
    for (const { model } of made) if (model.revision !== added.revision) await this.remove(model.revision)
    await rm(downloads, { recursive: true, force: true })
    return added
  }

  async addFile(file: string | Bytes, options: AddOptions & ImportOptions = {}): Promise<LibraryModel> {
    const manifest = await importModel(file, this.blobs, options)
    const revision = await revisionOf(manifest)
    await makeFolder(this.manifests)
    const known = await this.load(revision).catch(() => undefined)
    if (known) return known
    const identity = await publisherIdentity(join(this.directory, 'publisher.key'))
    const publication = await publish(identity, revision, Date.now())
    // The manifest last: a model is there when its manifest is.
    await writeWhole(this.publicationPath(revision), canonicalJson(publication))
    await writeWhole(this.manifestPath(revision), canonicalJson(manifest))
    return { revision, manifest, publication }
  }

  async remove(revision: Revision): Promise<void> {
    await this.load(revision)
    await rm(this.manifestPath(revision))
    await rm(this.publicationPath(revision), { force: true })
    await rm(this.sourcePath(revision), { force: true })
    const left = await this.models()
    await this.blobs.keepOnly(new Set(left.flatMap((model) => manifestBlobs(model.manifest).map((blob) => blob.hash))))
  }

  /** The models that some version's import of this entry made; looking them up is a matter of milliseconds. */
  private async madeOf(entry: CatalogueEntry): Promise<{ readonly model: LibraryModel; readonly source: string }[]> {
    const made: { model: LibraryModel; source: string }[] = []
    for (const model of await this.models()) {
      const source = await readFile(this.sourcePath(model.revision), 'utf8').catch(() => undefined)
      if (source !== undefined && model.manifest.name === entry.name) made.push({ model, source })
    }
    return made
  }

  private sourcePath(revision: Revision): string {
    return join(this.manifests, `${revision}${sourceSuffix}`)
  }

  private publicationPath(revision: Revision): string {
    return join(this.manifests, `${revision}${publicationSuffix}`)
  }

  private async load(revision: Revision): Promise<LibraryModel> {
    const path = this.manifestPath(revision)
    const bytes = await readFile(path).catch((cause: unknown) => {
      throw new ManyhandsError('unknown-model', `The library has no model ${revision}.`, { cause })
    })
    try {
      const manifest = parseManifest(JSON.parse(fromUtf8(bytes)))
      if ((await revisionOf(manifest)) !== revision) throw new TypeError('its hash is not its name')
      const publication = v.parse(publicationSchema, JSON.parse(await readFile(this.publicationPath(revision), 'utf8')))
      return { revision, manifest, publication }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new ManyhandsError('bad-model', `${path} is damaged (${why}): delete it and add the model again.`, { cause })
    }
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const partial = `${path}.partial`
  await writeFile(partial, utf8(text))
  await rename(partial, path)
}
