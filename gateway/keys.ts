/**
 * The gateway's keys: a file with a line for each, `NAME SHA-256`, so that whoever reads the file can't use them. A key is 32
 * random bytes, which a plain hash is enough for.
 */
import { createHash, randomBytes } from 'node:crypto'
import { appendFile, readFile } from 'node:fs/promises'
import { ManyhandsError } from '../protocol/errors.ts'

/** Names by their keys' hashes. */
export type Keys = ReadonlyMap<string, string>

const maxKeysBytes = 1024 * 1024
const namePattern = /^[\w.-]{1,64}$/
const hashOf = (key: string) => createHash('sha256').update(key).digest('hex')

/** Empty lines and what follows a # don't count. @throws ManyhandsError bad-input */
export function parseKeys(text: string): Keys {
  if (text.length > maxKeysBytes) throw new ManyhandsError('bad-input', `The file of keys has more than ${maxKeysBytes} characters.`)
  const keys = new Map<string, string>()
  for (const [i, line] of text.split('\n').entries()) {
    const words = line.replace(/#.*/, '').trim().split(/\s+/)
    const [name = '', hash = ''] = words
    if (name === '') continue
    if (words.length !== 2 || !namePattern.test(name) || !/^[0-9a-f]{64}$/.test(hash))
      throw new ManyhandsError('bad-input', `Line ${i + 1} of the file of keys is not 'NAME SHA-256'. Keys are added with --new-key NAME.`)
    keys.set(hash, name)
  }
  if (keys.size === 0) throw new ManyhandsError('bad-input', 'The file of keys has none. Add one with --new-key NAME.')
  return keys
}

/** @throws ManyhandsError bad-input */
export async function readKeys(file: string): Promise<Keys> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new ManyhandsError('bad-input', `The file of keys can't be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  })
  return parseKeys(text)
}

/** Made, and its hash added to the file. @returns the key, which nobody can tell again. @throws ManyhandsError bad-input */
export async function addKey(file: string, name: string): Promise<string> {
  if (!namePattern.test(name))
    throw new ManyhandsError('bad-input', 'A key’s name has up to 64 letters, digits, dots, dashes and underscores.')
  const key = `mg_${randomBytes(32).toString('base64url')}`
  await appendFile(file, `${name} ${hashOf(key)}\n`, { mode: 0o600 })
  return key
}

/** Whose key it is that an `authorization` header shows. */
export function holderOf(keys: Keys, authorization: string | undefined): string | undefined {
  const [, key] = /^Bearer (\S{1,200})$/i.exec(authorization ?? '') ?? []
  return key === undefined ? undefined : keys.get(hashOf(key))
}
