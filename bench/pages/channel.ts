/** One end of a bare data channel, handed to a worker as ours are: nothing but WebRTC between two browsers. */
import type { ChannelTask } from './channel.worker.ts'

export class BareChannel {
  readonly #connection = new RTCPeerConnection({ iceServers: [] })
  readonly #worker = new Worker(new URL('./channel.worker.ts', import.meta.url), { type: 'module' })
  readonly #oneWayMs: Promise<number[]>

  constructor(task: ChannelTask) {
    this.#oneWayMs = new Promise((resolve) => {
      this.#worker.onmessage = ({ data }: MessageEvent<number[]>) => resolve(data)
    })
    const channel = this.#connection.createDataChannel('bench', { negotiated: true, id: 1 })
    this.#worker.postMessage({ channel, task }, [channel])
  }

  async offer(): Promise<string> {
    await this.#connection.setLocalDescription(await this.#connection.createOffer())
    return this.#described()
  }

  async answer(offer: string): Promise<string> {
    await this.#connection.setRemoteDescription({ type: 'offer', sdp: offer })
    await this.#connection.setLocalDescription(await this.#connection.createAnswer())
    return this.#described()
  }

  accept(answer: string): Promise<void> {
    return this.#connection.setRemoteDescription({ type: 'answer', sdp: answer })
  }

  /** Half of each round trip, in milliseconds; only at the end that pings. */
  oneWayMs(): Promise<number[]> {
    return this.#oneWayMs
  }

  /** The description with all of its candidates. */
  async #described(): Promise<string> {
    const connection = this.#connection
    await new Promise<void>((resolve) => {
      const look = () => connection.iceGatheringState === 'complete' && resolve()
      connection.addEventListener('icegatheringstatechange', look)
      look()
    })
    return connection.localDescription?.sdp ?? ''
  }
}
