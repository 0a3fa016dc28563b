/**
 * The package as a stranger has it: packed by npm, unpacked into the node_modules of an empty project, with the dependencies
 * that it names beside it and nothing else.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

export interface Packed {
  readonly tarball: string
  /** Paths in it. */
  readonly files: readonly string[]
  readonly packedBytes: number
  readonly unpackedBytes: number
  remove(): Promise<void>
}

/** `npm pack` of what is built. */
export async function pack(): Promise<Packed> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-packed-'))
  const args = ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder]
  const { stdout } = await run('npm', args, { cwd: root, maxBuffer: 2 ** 24 })
  const [told] = JSON.parse(stdout) as readonly {
    readonly filename: string
    readonly size: number
    readonly unpackedSize: number
    readonly files: readonly { readonly path: string }[]
  }[]
  if (!told) throw new Error('npm packed nothing.')
  return {
    tarball: join(folder, told.filename),
    files: told.files.map(({ path }) => path),
    packedBytes: told.size,
    unpackedBytes: told.unpackedSize,
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

export interface Project {
  readonly folder: string
  /** The `manyhands` command of this project. */
  readonly command: string
  remove(): Promise<void>
}

/** @param extras packages beside those that manyhands names */
export async function projectWith({ tarball }: Packed, extras: readonly string[] = []): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-project-'))
  const modules = join(folder, 'node_modules')
  const own = join(modules, 'manyhands')
  await mkdir(own, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', own, '--strip-components=1'])
  const { dependencies, bin } = JSON.parse(await readFile(join(own, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>
    readonly bin: { readonly manyhands: string }
  }
  for (const name of [...Object.keys(dependencies), ...extras]) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
  return { folder, command: join(own, bin.manyhands), remove: () => rm(folder, { recursive: true, force: true }) }
}
