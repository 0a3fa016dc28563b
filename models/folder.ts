/**
 * Makes folders, and says in a sentence why one can't be made.
 */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ManyhandsError } from '../protocol/errors.ts'

/**
 * The folder and those above it, where they are missing. Node's own recursive mkdir never returns where a file system
 * answers ENOENT to every attempt, as /proc does.
 * @throws ManyhandsError bad-input
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeMissing(path)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ManyhandsError('bad-input', `The folder ${path} can't be made (${why}): choose another one.`, { cause })
  }
}

async function makeMissing(path: string): Promise<void> {
  if ((await stat(path).catch(() => undefined))?.isDirectory()) return
  if (dirname(path) !== path) await makeMissing(dirname(path))
  await mkdir(path).catch(async (thrown: NodeJS.ErrnoException) => {
    // Someone else made it in the meantime.
    if (!(thrown.code === 'EEXIST' && (await stat(path)).isDirectory())) throw thrown
  })
}
