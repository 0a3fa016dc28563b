/**
 * What giving leaves on a person's device, and the way to be rid of it: the weights in this site's file system, and the key of the
 * volunteer's id. Both are gone after one call; nothing is ever removed under a tab that gives.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import { OpfsFiles } from '../../worker/blobs/opfs-files.ts'
import { forgetIdentities } from './kept-identity.ts'
import { givingLock, soleGiver } from './sole-giver.ts'

export interface Stored {
  readonly weightBytes: number
  readonly files: number
}

export async function stored(): Promise<Stored> {
  const files = await new OpfsFiles().list()
  return { weightBytes: files.reduce((sum, { bytes }) => sum + bytes, 0), files: files.length }
}

/**
 * Removes the weights; with `identity` also the key, with which the trust that was earned goes.
 * @throws ManyhandsError busy while a tab of this browser gives
 */
export async function removeStored({ identity = false } = {}): Promise<void> {
  const waiting = new AbortController()
  const seat = await soleGiver(givingLock, { signal: waiting.signal, busy: () => waiting.abort() })
  if (!seat) throw new ManyhandsError('busy', 'A tab of this browser gives at the moment. Stop giving first.')
  try {
    const files = new OpfsFiles()
    for (const { name } of await files.list()) await files.remove(name)
    if (identity) await forgetIdentities()
  } finally {
    seat.release()
  }
}
