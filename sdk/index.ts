/**
 * The requester's SDK: `const net = await connect({server})`, then `net.generate(…)` and `net.run(…)`. Holds no engine.
 */
import { RequesterNetwork } from './requester/network.ts'
import type { ConnectOptions, Network } from './types.ts'

export { ManyhandsError, type ErrorCode } from '../protocol/errors.ts'
export { BrokenAnswer, type PartialAnswer } from './requester/broken-answer.ts'
export { createIdentity } from '../protocol/keys.ts'
export { checkReceipt } from '../protocol/receipt.ts'
export type * from './types.ts'

/**
 * Says hello to a signaling server.
 * @throws ManyhandsError unavailable, timeout, insecure-context, bad-input, aborted
 */
export const connect = (options: ConnectOptions): Promise<Network> => RequesterNetwork.connect(options)
