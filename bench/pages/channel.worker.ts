/** The worker's part of a bare channel: sends back what comes, or sends and times the way there and back. */
export type ChannelTask =
  | { readonly kind: 'echo' }
  | { readonly kind: 'ping'; readonly bytes: number; readonly pauseMs: number; readonly count: number }

globalThis.onmessage = ({ data: { channel, task } }: MessageEvent<{ channel: RTCDataChannel; task: ChannelTask }>) => {
  channel.binaryType = 'arraybuffer'
  if (task.kind === 'echo') channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => channel.send(data)
  else ping(channel, task)
}

function ping(channel: RTCDataChannel, { bytes, pauseMs, count }: Extract<ChannelTask, { kind: 'ping' }>): void {
  const message = new Uint8Array(bytes)
  const times: number[] = []
  let sentAt = 0
  const send = () => {
    sentAt = performance.now()
    channel.send(message)
  }
  channel.onmessage = () => {
    times.push((performance.now() - sentAt) / 2)
    if (times.length < count) setTimeout(send, pauseMs)
    else globalThis.postMessage(times, { transfer: [] })
  }
  if (channel.readyState === 'open') send()
  else channel.onopen = send
}
