/**
 * Connections to other peers: the stock PeerJS client does the signalling, and each connection carries one negotiated channel
 * of ours, handed over in the very task that made it (a worker can only take it then). docs/protocol.md [PC].
 */
import { fingerprintOf, type Fingerprints, type LinkTerms } from '../../link/peer-link.ts'
import { toHex } from '../../protocol/bytes.ts'
import { isPeerId, type PeerId } from '../../protocol/ids.ts'
import { linkConnectMs } from '../../protocol/limits.ts'
import type { DataConnection, Peer } from 'peerjs'
import type { ServerInfo } from './discovery.ts'
import type { Welcome } from './control-socket.ts'

export interface HubHandlers {
  /** A new connection, in the task that created its channel. */
  connection(id: number, channel: RTCDataChannel, terms: LinkTerms): void
  /** Its DTLS fingerprints, once both descriptions are set. */
  fingerprints(id: number, fingerprints: Fingerprints): void
  /** It failed or closed. */
  gone(id: number): void
}

/** Ours beside the one PeerJS opens for itself; any number both ends agree on. */
const channelId = 100
const channelLabel = 'manyhands'
/** Pause before the broker is dialled again; the control socket's own pauses grow. */
const reconnectMs = 1_000
const noncePattern = /^[0-9a-f]{32}$/

/** Of connections, whichever hub they belong to: they stand in one table. */
let nextId = 1

export class PeerHub {
  #info: ServerInfo
  readonly #handlers: HubHandlers
  readonly #accept: boolean
  readonly #connections = new Map<number, DataConnection>()
  readonly #toDial = new Set<PeerId>()
  #peer: Peer | undefined
  #welcome: Welcome | undefined
  #closed = false

  /** @param accept whether others may connect to us (volunteers) */
  constructor(info: ServerInfo, accept: boolean, handlers: HubHandlers) {
    this.#info = info
    this.#accept = accept
    this.#handlers = handlers
  }

  /** After each hello: a broker connection with the fresh token. Connections that stand are kept. */
  async welcomed(welcome: Welcome): Promise<void> {
    this.#welcome = welcome
    if (this.#peer?.open) return
    const { Peer } = await loadPeerJs()
    if (this.#closed || this.#welcome !== welcome) return
    this.#peer?.disconnect()
    const { host, port, path, secure } = this.#info.broker
    const peer = new Peer(welcome.peer, {
      host,
      port,
      path,
      secure,
      key: 'manyhands',
      token: welcome.brokerToken,
      debug: 0,
      config: { iceServers: welcome.iceServers },
    })
    this.#peer = peer
    peer.on('open', () => {
      for (const remote of this.#toDial) this.#connect(remote)
      this.#toDial.clear()
    })
    peer.on('connection', (connection) => {
      if (this.#accept) this.#take(connection)
      else connection.close()
    })
    // The control socket notices a lost server and comes back with a fresh token; a single failed dial times out at the link.
    peer.on('error', () => undefined)
    peer.on('disconnected', () => {
      if (peer === this.#peer && !this.#closed && this.#welcome) setTimeout(() => this.#reconnect(peer), reconnectMs)
    })
  }

  /** The next hello is another server's: its broker takes the place of this one's. Connections that stand are kept. */
  move(info: ServerInfo): void {
    this.#info = info
    this.leave()
  }

  /** Without a broker: nobody new, but connections that stand are kept. */
  leave(): void {
    const left = this.#peer
    this.#peer = undefined
    this.#welcome = undefined
    left?.disconnect()
  }

  dial(remote: PeerId): void {
    if (this.#peer?.open) this.#connect(remote)
    else this.#toDial.add(remote)
  }

  /** The channel is done with. */
  release(id: number): void {
    const connection = this.#connections.get(id)
    this.#connections.delete(id)
    connection?.close()
  }

  close(): void {
    this.#closed = true
    this.#peer?.destroy()
    // Those of a broker that was left, too.
    for (const connection of this.#connections.values()) connection.close()
    this.#connections.clear()
  }

  #reconnect(peer: Peer): void {
    if (peer === this.#peer && !this.#closed && !peer.open && !peer.destroyed) peer.reconnect()
  }

  #connect(remote: PeerId): void {
    const nonce = toHex(crypto.getRandomValues(new Uint8Array(16)))
    const connection = this.#peer?.connect(remote, { serialization: 'raw', reliable: true, metadata: { nonce } })
    if (connection) this.#adopt(connection, { remote, role: 'dialer', nonce })
  }

  #take(connection: DataConnection): void {
    const nonce = (connection.metadata as { nonce?: unknown } | null)?.nonce
    if (!isPeerId(connection.peer) || typeof nonce !== 'string' || !noncePattern.test(nonce)) return connection.close()
    this.#adopt(connection, { remote: connection.peer, role: 'acceptor', nonce })
  }

  #adopt(connection: DataConnection, terms: LinkTerms): void {
    const pc = connection.peerConnection
    const id = nextId++
    this.#connections.set(id, connection)
    const channel = pc.createDataChannel(channelLabel, { negotiated: true, id: channelId })
    this.#handlers.connection(id, channel, terms)

    const gone = () => {
      clearTimeout(timer)
      if (!this.#connections.has(id)) return
      this.release(id)
      this.#handlers.gone(id)
    }
    // PeerJS reports no failure within 25 s.
    const timer = setTimeout(() => pc.connectionState !== 'connected' && gone(), linkConnectMs)
    pc.addEventListener('connectionstatechange', () => {
      if (pc.connectionState === 'failed' || pc.connectionState === 'closed') return gone()
      if (pc.connectionState !== 'connected') return
      const local = fingerprintOf(pc.localDescription?.sdp)
      const remote = fingerprintOf(pc.remoteDescription?.sdp)
      if (local && remote) this.#handlers.fingerprints(id, { local, remote })
      else gone()
    })
    connection.on('close', gone)
    connection.on('error', gone)
  }
}

/** In Node peerjs is a CommonJS module, whose names are on its default export. Named one by one, the rest of it is left out of a bundle. */
async function loadPeerJs(): Promise<{ readonly Peer: typeof Peer }> {
  const { Peer: named, default: whole } = (await import('peerjs')) as { readonly Peer?: typeof Peer; readonly default: unknown }
  return named ? { Peer: named } : (whole as { readonly Peer: typeof Peer })
}
