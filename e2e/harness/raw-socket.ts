/** A control socket under a test's own hands: what it says is up to the test, what comes back is handed over in order. */
import { WebSocket } from 'ws'
import type { HelloClaim } from '../../protocol/client-messages.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { canonicalJson } from '../../protocol/hash.ts'
import { createIdentity, signHex, type Identity } from '../../protocol/keys.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import { discover } from '../../sdk/network/discovery.ts'

type Challenge = Extract<ServerMessage, { t: 'challenge' }>

/** Longer than the server takes to answer or to hang up on a silent one. */
const waitMs = 20_000
const helloLifeMs = 5_000

export class RawSocket {
  readonly identity: Identity
  readonly #socket: WebSocket
  readonly #received: ServerMessage[] = []
  #wake: () => void = () => undefined
  /** Once the server has hung up. */
  closed: { readonly code: number; readonly reason: string } | undefined

  private constructor(url: string, identity: Identity) {
    this.identity = identity
    this.#socket = new WebSocket(url)
    this.#socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (!isBinary) this.#received.push(JSON.parse(data.toString('utf8')) as ServerMessage)
      this.#wake()
    })
    this.#socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString('utf8') }
      this.#wake()
    })
    this.#socket.on('error', () => undefined)
  }

  static async open(server: string, identity?: Identity): Promise<RawSocket> {
    const { socketUrl } = await discover(server)
    return new RawSocket(socketUrl, identity ?? (await createIdentity()))
  }

  /** As a proper peer: the hello answered, `welcome` taken. @param more that the hello says and does not sign */
  static async welcomed(server: string, more: object = {}): Promise<RawSocket> {
    const socket = await RawSocket.open(server)
    socket.send({ ...(await socket.hello(await socket.next('challenge'))), ...more })
    await socket.next('welcome')
    return socket
  }

  /** A right answer to a challenge, or one with some fields changed before it is signed. */
  async hello(challenge: Challenge, change: Partial<HelloClaim> = {}): Promise<object> {
    const { nonce, serverKey: server, now } = challenge
    const claim: HelloClaim = { nonce, origin: 'node', expiresAt: now + helloLifeMs, server, ...change }
    const signature = await signHex(this.identity.privateKey, 'hello', utf8(canonicalJson(claim)))
    return {
      t: 'hello',
      v: 1,
      key: this.identity.publicKey,
      nonce: claim.nonce,
      origin: claim.origin,
      expiresAt: claim.expiresAt,
      agent: 'test',
      signature,
    }
  }

  send(message: object | string | Uint8Array): void {
    this.#socket.send(typeof message === 'string' || message instanceof Uint8Array ? message : JSON.stringify(message))
  }

  /** The next message of that kind; others before it are dropped. */
  async next<T extends ServerMessage['t']>(kind: T): Promise<Extract<ServerMessage, { t: T }>> {
    return this.#until(() => {
      for (let message = this.#received.shift(); message; message = this.#received.shift()) {
        if (message.t === kind) return message as Extract<ServerMessage, { t: T }>
      }
      if (this.closed) throw new Error(`The server hung up (${this.closed.reason}) before it sent '${kind}'.`)
      return undefined
    }, `'${kind}'`)
  }

  /** Until the server hangs up. */
  hungUp(): Promise<{ readonly code: number; readonly reason: string }> {
    return this.#until(() => this.closed, 'the end')
  }

  close(): void {
    this.#socket.terminate()
  }

  async #until<T>(look: () => T | undefined, what: string): Promise<T> {
    const limit = performance.now() + waitMs
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      const left = limit - performance.now()
      if (left <= 0) throw new Error(`The server did not send ${what} within ${waitMs / 1000} s.`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}
