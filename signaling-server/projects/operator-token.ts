/**
 * The operator's token, in `DIR/operator.token` that only its owner can read: whoever has it makes projects, and manages them
 * all. Made at the first start.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ManyhandsError } from '../../protocol/errors.ts'
import { placeSecret } from '../secret-file.ts'
import { newKey } from './project.ts'

export const operatorTokenFile = 'operator.token'
const shape = /^mt_[A-Za-z0-9_-]{43}$/

/** @throws ManyhandsError bad-input when the file holds no token, or can't be read or written */
export async function operatorToken(directory: string): Promise<string> {
  const path = join(directory, operatorTokenFile)
  try {
    const token = (await read(path)) ?? (await placeSecret(path, `${newKey('mt_')}\n`), await read(path))
    if (token !== undefined && shape.test(token)) return token
  } catch (cause) {
    throw new ManyhandsError(
      'bad-input',
      `The operator's token can't be kept: ${cause instanceof Error ? cause.message : String(cause)}.`,
      { cause },
    )
  }
  throw new ManyhandsError('bad-input', `${path} holds no operator's token: delete it to get a new one.`)
}

async function read(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}
