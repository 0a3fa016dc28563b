/**
 * A publisher's key, kept in a file that only its owner can read, and its signature under a model's revision.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromUtf8, utf8 } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { canonicalJson } from '../protocol/hash.ts'
import type { Revision } from '../protocol/ids.ts'
import { createIdentity, exportIdentity, importIdentity, signHex, verifyHex, type Identity } from '../protocol/keys.ts'
import type { Publication } from '../protocol/server-messages.ts'
import { makeFolder } from './folder.ts'

/** The key in the file, made at the first call. @throws ManyhandsError bad-input when the file holds no key */
export async function publisherIdentity(path: string): Promise<Identity> {
  const saved = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new ManyhandsError('bad-input', `The publisher's key can't be read: ${error.message}`, { cause: error })
  })
  if (saved) {
    try {
      return await importIdentity(JSON.parse(fromUtf8(saved)) as { publicKey: string; pkcs8: string })
    } catch (cause) {
      throw new ManyhandsError('bad-input', `${path} holds no publisher's key: restore it, or delete it to get a new one.`, { cause })
    }
  }
  const identity = await createIdentity(true)
  await makeFolder(dirname(path))
  const text = `${JSON.stringify(await exportIdentity(identity))}\n`
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o600 })
  } catch (thrown) {
    // Another import made one in the meantime: theirs counts.
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return publisherIdentity(path)
    throw thrown
  }
  return identity
}

/** @param issuedAt milliseconds since 1970 */
export async function publish(identity: Identity, revision: Revision, issuedAt: number): Promise<Publication> {
  const said = { v: 1 as const, revision, publisher: identity.publicKey, issuedAt }
  return { ...said, signature: await signHex(identity.privateKey, 'publication', utf8(canonicalJson(said))) }
}

/** Whether the publisher that a publication names signed it. */
export function isPublished({ signature, ...said }: Publication): Promise<boolean> {
  return verifyHex(said.publisher, 'publication', utf8(canonicalJson(said)), signature)
}
