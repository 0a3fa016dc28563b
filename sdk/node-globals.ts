/**
 * What a browser has and Node 20 lacks: WebSocket and WebRTC, put where the PeerJS client looks for them. Imported first by
 * the Node entry points, for its effect.
 */
import wrtc from '@roamhq/wrtc'
import { WebSocket } from 'ws'

/** As in a browser, an error that nobody listens for is followed by a close and no more; ws alone would end the process. */
class QuietWebSocket extends WebSocket {
  constructor(...args: ConstructorParameters<typeof WebSocket>) {
    super(...args)
    this.on('error', () => undefined)
  }
}

Object.assign(globalThis, {
  WebSocket: globalThis.WebSocket ?? QuietWebSocket,
  RTCPeerConnection: wrtc.RTCPeerConnection,
  RTCSessionDescription: wrtc.RTCSessionDescription,
  RTCIceCandidate: wrtc.RTCIceCandidate,
})
