/** A file that only its owner can read, and that is there whole or not at all, however many processes make it at once. */
import { chmod, link, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '../models/folder.ts'
import { toHex } from '../protocol/bytes.ts'

/** Makes the file; false when another was first: theirs stands. */
export async function placeSecret(path: string, text: string): Promise<boolean> {
  const partial = await writePartial(path, text)
  try {
    await link(partial, path)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw cause
  } finally {
    await rm(partial, { force: true })
  }
}

/** Takes the place of what is there. */
export async function replaceSecret(path: string, text: string): Promise<void> {
  await rename(await writePartial(path, text), path)
}

async function writePartial(path: string, text: string): Promise<string> {
  const partial = `${path}.${process.pid}-${toHex(crypto.getRandomValues(new Uint8Array(4)))}.partial`
  await makeFolder(dirname(path))
  await writeFile(partial, text, { mode: 0o600 })
  // The mode above counts for a new file only.
  await chmod(partial, 0o600)
  return partial
}
