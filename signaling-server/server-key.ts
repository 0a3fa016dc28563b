/**
 * The server's own key, kept in `DIR/server-key.json` that only its owner can read. It signs tickets and receipts; keys that
 * came before stay listed, so that what they signed can still be checked.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { ManyhandsError } from '../protocol/errors.ts'
import { createIdentity, exportIdentity, importIdentity, type Identity } from '../protocol/keys.ts'
import { publicKeySchema } from '../protocol/ticket.ts'
import { placeSecret, replaceSecret } from './secret-file.ts'

export interface ServerKey {
  readonly identity: Identity
  /** Public keys of former times, the latest first. */
  readonly past: readonly string[]
}

/** What a first contact lists at most. */
const maxPast = 64
const savedSchema = v.strictObject({
  publicKey: publicKeySchema,
  pkcs8: v.pipe(v.string(), v.regex(/^[0-9a-f]{64,400}$/)),
  past: v.pipe(v.array(publicKeySchema), v.maxLength(maxPast)),
})

/**
 * The key in the folder, made at the first start.
 * @param renew makes a new one; the present one joins the past
 * @throws ManyhandsError bad-input when the file holds no key, or can't be read or written
 */
export async function serverKey(directory: string, renew = false): Promise<ServerKey> {
  const path = join(directory, 'server-key.json')
  const saved = await load(path)
  if (saved && !renew) return { identity: await importIdentity(saved), past: saved.past }
  const identity = await createIdentity(true)
  const past = saved ? [saved.publicKey, ...saved.past].slice(0, maxPast) : []
  const text = `${JSON.stringify({ ...(await exportIdentity(identity)), past })}\n`
  try {
    if (renew) await replaceSecret(path, text)
    // Another process of this folder was first: its key is everybody's.
    else if (!(await placeSecret(path, text))) return await serverKey(directory)
  } catch (cause) {
    if (cause instanceof ManyhandsError) throw cause
    throw new ManyhandsError(
      'bad-input',
      `The server's key can't be kept in ${directory}: ${reason(cause)}. Give a folder that can be written with --data.`,
      { cause },
    )
  }
  return { identity, past }
}

async function load(path: string): Promise<v.InferOutput<typeof savedSchema> | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ManyhandsError('bad-input', `The server's key can't be read: ${reason(cause)}.`, { cause })
  }
  try {
    const saved = v.parse(savedSchema, JSON.parse(text))
    // A key that does not import is none.
    await importIdentity(saved)
    return saved
  } catch (cause) {
    throw new ManyhandsError(
      'bad-input',
      `${path} holds no server's key: restore it, or delete it to get a new one (what the old one signed can then not be checked any more).`,
      { cause },
    )
  }
}

const reason = (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown))
