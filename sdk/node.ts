/** The requester's SDK in Node 20: the same `connect`, after the globals that Node lacks. */
import { needWebRtc } from './node-globals.ts'
import { connect as connectAsInPage } from './index.ts'
import type { ConnectOptions, Network } from './types.ts'

export * from './index.ts'

/**
 * Says hello to a signaling server.
 * @throws ManyhandsError unsupported without WebRTC (`npm install @roamhq/wrtc`); unavailable, timeout, bad-input, aborted
 */
export async function connect(options: ConnectOptions): Promise<Network> {
  needWebRtc()
  return connectAsInPage(options)
}
