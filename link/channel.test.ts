import wrtc from '@roamhq/wrtc'
import { expect, it } from 'vitest'
import { fragmentBytes, highWaterBytes } from '../protocol/limits.ts'
import { deferred } from './deferred.ts'
import { rtcChannel } from './channel.ts'

/** Two ends of a data channel over Node's WebRTC. */
async function channels() {
  const ends = [new wrtc.RTCPeerConnection(), new wrtc.RTCPeerConnection()] as const
  const [a, b] = ends
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const)
    from.onicecandidate = ({ candidate }) => void (candidate && to.addIceCandidate(candidate))
  const [one, other] = ends.map((end) => end.createDataChannel('link', { negotiated: true, id: 1 })) as [RTCDataChannel, RTCDataChannel]
  await a.setLocalDescription(await a.createOffer())
  await b.setRemoteDescription(a.localDescription as RTCSessionDescription)
  await b.setLocalDescription(await b.createAnswer())
  await a.setRemoteDescription(b.localDescription as RTCSessionDescription)
  return { one, other, close: () => ends.forEach((end) => end.close()) }
}

it('tells that its queue is low again, in Node too, so that more than fits it goes through', async () => {
  const { one, other, close } = await channels()
  const from = rtcChannel(one)
  const to = rtcChannel(other)
  const all = 3 * highWaterBytes
  const arrived = deferred<void>()
  let [sent, received] = [0, 0]
  const pump = () => {
    while (sent < all && from.bufferedAmount < highWaterBytes) {
      from.send(new Uint8Array(fragmentBytes))
      sent += fragmentBytes
    }
  }
  to.listen({
    opened: () => undefined,
    message: (message) => (received += message.length) >= all && arrived.resolve(),
    drained: () => undefined,
    closed: () => undefined,
  })
  from.listen({ opened: pump, message: () => undefined, drained: pump, closed: () => undefined })
  await arrived.promise
  expect(received).toBe(all)
  close()
})
