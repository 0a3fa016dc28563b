/**
 * Two ends of a channel in memory, as a data channel behaves: ordered, asynchronous, closable, with a queue that can be made
 * to look full.
 */
import type { Channel, ChannelEvents } from '../link/channel.ts'

export class MemoryChannel implements Channel {
  bufferedAmount = 0
  readonly sent: Uint8Array[] = []
  other: MemoryChannel | undefined
  /** Sees every message on its way; what it returns is delivered instead. */
  tamper: (message: Uint8Array) => Uint8Array | undefined = (m) => m
  /** Called after every message that was sent. */
  onSent: () => void = () => undefined
  /** It is open only when `open` says so, and delivers before: a channel that was handed to a worker does. */
  opensLate = false
  #on: ChannelEvents | undefined
  #opened = false
  #closed = false

  listen(on: ChannelEvents): void {
    this.#on = on
    queueMicrotask(() => this.opensLate || this.open())
  }

  open(): void {
    if (this.#closed || this.#opened) return
    this.#opened = true
    this.#on?.opened()
  }

  send(message: Uint8Array): void {
    if (this.#closed || !this.#opened) throw new Error('not open')
    const delivered = this.tamper(message.slice())
    this.sent.push(message)
    if (delivered) setImmediate(() => this.other?.deliver(delivered))
    this.onSent()
  }

  deliver(message: Uint8Array): void {
    if (!this.#closed) this.#on?.message(message)
  }

  drain(): void {
    this.bufferedAmount = 0
    this.#on?.drained()
  }

  /** As `close`, and what is on its way is lost with it. */
  kill(): void {
    this.close()
    const { other } = this
    if (!other || other.#closed) return
    other.#closed = true
    setImmediate(() => other.#on?.closed())
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    const { other } = this
    setImmediate(() => {
      this.#on?.closed()
      other?.close()
    })
  }
}

export function channelPair(): [MemoryChannel, MemoryChannel] {
  const pair: [MemoryChannel, MemoryChannel] = [new MemoryChannel(), new MemoryChannel()]
  pair[0].other = pair[1]
  pair[1].other = pair[0]
  return pair
}
