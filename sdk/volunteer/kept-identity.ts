/**
 * A volunteer's key, kept from visit to visit so that the trust it has earned comes back with it. A browser keeps the key
 * itself, which no script can read out; every tab at the same time has a key of its own.
 */
import { createIdentity, type Identity } from '../../protocol/keys.ts'

/** A key in use: nobody else on this device uses it before it is released. */
export interface HeldIdentity {
  readonly identity: Identity
  release(): void
}

/** Takes a kept key that nobody uses, or makes one. */
export type HoldIdentity = () => Promise<HeldIdentity>

/** Tabs or processes of one device that keep a key; those beyond have one for the visit alone. */
export const identitySlots = 8

/** A tab that hands over lets go of its key within moments; one that is frozen does not at all. */
const handOverMs = 1_000
const databaseName = 'manyhands'
const storeName = 'identities'

/** For a visit: where nothing can be kept, as in a private window, or where the caller brings a key. */
export const visitor = async (identity?: Identity): Promise<HeldIdentity> => ({
  identity: identity ?? (await createIdentity()),
  release: () => undefined,
})

/** Kept in this browser's database, one for each of its first tabs. */
export const browserIdentity: HoldIdentity = async () => {
  try {
    for (let slot = 0; slot < identitySlots; slot++) {
      // The first one's tab may be handing over to this one right now.
      const release = await lock(`manyhands-identity-${slot}`, slot === 0 ? handOverMs : 0)
      if (!release) continue
      try {
        return { identity: await load(slot), release }
      } catch (thrown) {
        release()
        throw thrown
      }
    }
  } catch {
    // No database, no locks, or keys that can't be stored: it gives all the same, and is not known again.
  }
  return visitor()
}

/** Ids of the keys that are kept here, of which none is made and nothing is stored: to show what they have earned. */
export async function keptPeers(): Promise<string[]> {
  try {
    const known = await indexedDB.databases()
    if (!known.some(({ name }) => name === databaseName)) return []
    const database = await answered(open())
    try {
      const kept: unknown[] = await answered(database.transaction(storeName).objectStore(storeName).getAll())
      return kept.filter(isIdentity).map(({ id }) => id)
    } finally {
      database.close()
    }
  } catch {
    // No database, or one that can't be read: nothing is known of any.
    return []
  }
}

/** The keys are gone for good, and with them what they have earned. */
export async function forgetIdentities(): Promise<void> {
  await answered(indexedDB.deleteDatabase(databaseName))
}

/** Undefined when another tab has it, for so long. Held until it is released or the tab is gone. */
function lock(name: string, patienceMs: number): Promise<(() => void) | undefined> {
  const patience = AbortSignal.timeout(patienceMs)
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, patienceMs > 0 ? { signal: patience } : { ifAvailable: true }, (held) => {
        if (!held) return resolve(undefined)
        return new Promise<void>((release) => resolve(release))
      })
      .catch((thrown: unknown) => (patience.aborted ? resolve(undefined) : reject(thrown as Error)))
  })
}

async function load(slot: number): Promise<Identity> {
  const database = await answered(open())
  try {
    const kept: unknown = await answered(database.transaction(storeName).objectStore(storeName).get(slot))
    if (isIdentity(kept)) return kept
    const identity = await createIdentity()
    await answered(database.transaction(storeName, 'readwrite').objectStore(storeName).put(identity, slot))
    return identity
  } finally {
    database.close()
  }
}

function open(): IDBOpenDBRequest {
  const request = indexedDB.open(databaseName, 1)
  request.onupgradeneeded = () => request.result.createObjectStore(storeName)
  return request
}

const answered = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('The database did not answer.'))
    if ('onblocked' in request) (request as unknown as IDBOpenDBRequest).onblocked = () => reject(new Error('The database is in use.'))
  })

const isIdentity = (value: unknown): value is Identity =>
  typeof value === 'object' &&
  value !== null &&
  'privateKey' in value &&
  value.privateKey instanceof CryptoKey &&
  'publicKey' in value &&
  typeof value.publicKey === 'string' &&
  'id' in value &&
  typeof value.id === 'string'
