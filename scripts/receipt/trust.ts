/**
 * Which server's keys count for a receipt, and on whose word: the caller's own, a server's folder on this machine, or the
 * server's first contact.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { asError } from '../../protocol/errors.ts'
import type { ReceiptFile } from '../../protocol/receipt-file.ts'
import { publicKeySchema } from '../../protocol/ticket.ts'
import { discover } from '../../sdk/network/discovery.ts'
import type { ReceiptOptions } from './options.ts'
import type { Trust } from './verify.ts'

/** Of a server's key file, the public part. */
const keyFileSchema = v.object({ publicKey: publicKeySchema, past: v.array(publicKeySchema) })

export async function trustedKeys(file: ReceiptFile, options: Pick<ReceiptOptions, 'serverKeys' | 'server' | 'data'>): Promise<Trust> {
  if (options.serverKeys.length > 0) return { keys: options.serverKeys, why: 'the server that you named by its key' }
  const own = await keysIn(options.data)
  if (options.server === undefined && file.receipts.every(({ serverKey }) => own.includes(serverKey)))
    return { keys: own, why: `the server whose folder is ${options.data}` }
  const server = options.server ?? file.server
  try {
    const { serverKey, pastKeys } = await discover(server)
    return { keys: [serverKey, ...pastKeys], why: `${server}${options.server === undefined ? ', which the file names' : ''}` }
  } catch (thrown) {
    return { keys: [], why: asError(thrown).message.replace(/\.$/, '') }
  }
}

async function keysIn(directory: string): Promise<readonly string[]> {
  try {
    const { publicKey, past } = v.parse(keyFileSchema, JSON.parse(await readFile(join(directory, 'server-key.json'), 'utf8')))
    return [publicKey, ...past]
  } catch {
    // Most who check a receipt run no server.
    return []
  }
}
