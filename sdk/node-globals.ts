/**
 * What a browser has and Node 20 lacks: WebSocket and WebRTC, put where the PeerJS client looks for them. Imported first by
 * the Node entry points, for its effect.
 */
import wrtc from '@roamhq/wrtc'
import { WebSocket } from 'ws'

Object.assign(globalThis, {
  WebSocket: globalThis.WebSocket ?? WebSocket,
  RTCPeerConnection: wrtc.RTCPeerConnection,
  RTCSessionDescription: wrtc.RTCSessionDescription,
  RTCIceCandidate: wrtc.RTCIceCandidate,
})
