/** A volunteer's key in a file that only its owner can read, for Node: the twin of kept-identity.ts. */
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createIdentity, exportIdentity, importIdentity, type Identity } from '../../protocol/keys.ts'
import { identitySlots, visitor, type HoldIdentity } from './kept-identity.ts'

/** Kept in a folder, one for each process that uses it at the same time. */
export const folderIdentity =
  (folder: string): HoldIdentity =>
  async () => {
    try {
      await mkdir(folder, { recursive: true })
      for (let slot = 0; slot < identitySlots; slot++) {
        const lock = join(folder, `identity-${slot}.lock`)
        if (!(await taken(lock))) continue
        return { identity: await load(join(folder, `identity-${slot}.json`)), release: () => void rm(lock, { force: true }) }
      }
    } catch {
      // A folder that can't be written to: it gives all the same, and is not known again.
    }
    return visitor()
  }

/** Makes the lock ours; one whose process is gone is taken over. */
async function taken(lock: string): Promise<boolean> {
  if (await created(lock)) return true
  const pid = Number(await readFile(lock, 'utf8').catch(() => ''))
  if (isRunning(pid)) return false
  await rm(lock, { force: true })
  return created(lock)
}

async function created(lock: string): Promise<boolean> {
  try {
    const file = await open(lock, 'wx', 0o600)
    await file.writeFile(String(process.pid))
    await file.close()
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw thrown
  }
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function load(file: string): Promise<Identity> {
  try {
    const { publicKey, pkcs8 } = JSON.parse(await readFile(file, 'utf8')) as { publicKey: string; pkcs8: string }
    return await importIdentity({ publicKey, pkcs8 })
  } catch {
    // None yet, or one that can't be read any more.
    const identity = await createIdentity(true)
    await writeFile(file, JSON.stringify(await exportIdentity(identity)), { mode: 0o600 })
    return identity
  }
}
