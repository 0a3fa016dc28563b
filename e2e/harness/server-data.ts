/**
 * A server's folder of its own, with some models of a library: what one run does (keys, ledger) stays out of another's, and
 * volunteers meet no model but these. Weights are linked, not copied.
 */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { openLibrary } from '../../models/library.ts'
import type { Revision } from '../../protocol/ids.ts'

export interface ServerData {
  readonly directory: string
  remove(): Promise<void>
}

export async function serverData(libraryDirectory: string, revisions: readonly Revision[]): Promise<ServerData> {
  const library = openLibrary(resolve(libraryDirectory))
  const directory = await mkdtemp(join(tmpdir(), 'manyhands-server-'))
  const models = join(directory, 'models')
  await mkdir(models)
  await symlink(library.blobs.directory, join(directory, 'blobs'))
  for (const revision of revisions) {
    const manifest = library.manifestPath(revision)
    for (const path of [manifest, manifest.replace(/\.json$/, '.publication.json')]) await symlink(path, join(models, basename(path)))
  }
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) }
}
