/** Cheats on what is said of the work: another value sent than signed for, a neighbour framed. */
import { PeerLink } from '../../link/peer-link.ts'
import { chunkBytes, countersign, signedChunkBytes } from '../../protocol/custody.ts'
import type { Cheat } from './cheat.ts'

/** Signs for what it computed, and sends the next peer something else. */
export const twoFaced: Cheat = {
  patch: () => {
    const send = PeerLink.prototype.sendStep
    PeerLink.prototype.sendStep = function (step) {
      const payload = step.payload.slice()
      // The last byte of a row's last number: its sign and exponent.
      if (step.rows === 1 && step.position % 8 === 7) payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1
      send.call(this, { ...step, payload })
    }
  },
}

/** Says that it received other bytes than its neighbour signed for. */
export const framing: Cheat = {
  tells: async (event, { identity }) => {
    if (event.t !== 'proof') return event
    const signed = event.proof.slice(0, signedChunkBytes)
    signed[chunkBytes - 1] = (signed[chunkBytes - 1] as number) ^ 1
    return { t: 'proof', proof: await countersign(signed, identity.privateKey) }
  },
}

/** Keeps to itself what it received, as if its neighbour had sent nothing. */
export const silent: Cheat = { tells: (event) => (event.t === 'proof' ? undefined : event) }
