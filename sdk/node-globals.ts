/**
 * What a browser has and Node 20 lacks: WebSocket and WebRTC, put where the PeerJS client looks for them. Imported first by
 * the Node entry points, for its effect. Native WebRTC is an optional part of the package: without it everything can be
 * imported, and what would connect to peers says what to install.
 */
import { createRequire } from 'node:module'
import { WebSocket } from 'ws'
import { ManyhandsError } from '../protocol/errors.ts'

/** As in a browser, an error that nobody listens for is followed by a close and no more; ws alone would end the process. */
class QuietWebSocket extends WebSocket {
  constructor(...args: ConstructorParameters<typeof WebSocket>) {
    super(...args)
    this.on('error', () => undefined)
  }
}

type WebRtc = Pick<typeof globalThis, 'RTCPeerConnection' | 'RTCSessionDescription' | 'RTCIceCandidate'>

/** Why there is none, where it is not simply missing. */
let broken: unknown

function nativeWebRtc(): Partial<WebRtc> {
  // Another implementation that the program brought along.
  if (globalThis.RTCPeerConnection) return {}
  try {
    const { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate } = createRequire(import.meta.url)('@roamhq/wrtc') as WebRtc
    return { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate }
  } catch (thrown) {
    broken = thrown
    return {}
  }
}

Object.assign(globalThis, { WebSocket: globalThis.WebSocket ?? QuietWebSocket, ...nativeWebRtc() })

/** @throws ManyhandsError unsupported, with what to install */
export function needWebRtc(): void {
  if (globalThis.RTCPeerConnection) return
  throw new ManyhandsError(
    'unsupported',
    'Node has no WebRTC of its own. Install one beside manyhands: npm install @roamhq/wrtc (or set globalThis.RTCPeerConnection before importing manyhands).',
    { cause: broken },
  )
}
