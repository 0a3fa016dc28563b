/**
 * The port to a data channel: what a link needs of it, and no more. `rtcChannel` makes one of an RTCDataChannel, in a page,
 * in a worker it was transferred to, or in Node.
 */
import type { Bytes } from '../protocol/bytes.ts'
import { highWaterBytes, lowWaterBytes } from '../protocol/limits.ts'

export interface Channel {
  readonly bufferedAmount: number
  /** @throws when the channel is closed or its queue is full */
  send(message: Bytes): void
  close(): void
  /** Called once each; `opened` at once when it is open already. */
  listen(on: ChannelEvents): void
}

export interface ChannelEvents {
  opened(): void
  message(message: Uint8Array): void
  /** The queue fell below the low-water mark. */
  drained(): void
  closed(): void
}

/** Node's WebRTC does not say when its queue is low: what waits for that looks itself, so often. A few megabytes go out meanwhile. */
const lookMs = 20

export function rtcChannel(channel: RTCDataChannel): Channel {
  channel.binaryType = 'arraybuffer'
  channel.bufferedAmountLowThreshold = lowWaterBytes
  let drained: () => void = () => undefined
  let looking: ReturnType<typeof setInterval> | undefined
  const look = () => {
    if (channel.readyState === 'open' && channel.bufferedAmount > lowWaterBytes) return
    clearInterval(looking)
    looking = undefined
    drained()
  }
  return {
    get bufferedAmount() {
      return channel.bufferedAmount
    },
    send(message) {
      channel.send(message)
      if (channel.bufferedAmount >= highWaterBytes) looking ??= setInterval(look, lookMs)
    },
    close: () => channel.close(),
    listen(on) {
      let open = false
      const opened = () => {
        if (open) return
        open = true
        on.opened()
      }
      channel.onopen = opened
      channel.onmessage = (event: MessageEvent<unknown>) => {
        // A transferred channel can deliver before its 'open'; text is not ours.
        if (event.data instanceof ArrayBuffer) on.message(new Uint8Array(event.data))
        else channel.close()
      }
      drained = () => on.drained()
      channel.onbufferedamountlow = look
      channel.onclose = () => on.closed()
      channel.onerror = () => channel.close()
      if (channel.readyState === 'open') opened()
      if (channel.readyState === 'closed') on.closed()
    },
  }
}
