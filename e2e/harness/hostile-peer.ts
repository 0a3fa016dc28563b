/** A peer with a real WebRTC connection to a volunteer, which says whatever a test wants on it. */
import { rtcChannel } from '../../link/channel.ts'
import { deferred } from '../../link/deferred.ts'
import { PeerLink, type LinkTerms } from '../../link/peer-link.ts'
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { PeerId } from '../../protocol/ids.ts'
import { createIdentity } from '../../protocol/keys.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import { ControlSocket } from '../../sdk/network/control-socket.ts'
import { discover } from '../../sdk/network/discovery.ts'
import { PeerHub } from '../../sdk/network/peer-hub.ts'
import '../../sdk/node-globals.ts'

export interface HostilePeer {
  /** As it is, past all our own checks. */
  sendRaw(bytes: Uint8Array): void
  sendMessage(message: LinkMessage): void
  /** What the volunteer said back. */
  readonly heard: readonly LinkMessage[]
  /** Until the volunteer closes the connection. */
  readonly closed: Promise<ManyhandsError>
  close(): void
}

const waitMs = 30_000

/** @param authenticate false: connected, and silent about who it is */
export async function hostilePeer(server: string, victim: PeerId, authenticate: boolean): Promise<HostilePeer> {
  const identity = await createIdentity()
  const info = await discover(server)
  const connected = deferred<RTCDataChannel>()
  const ready = deferred<void>()
  const closed = deferred<ManyhandsError>()
  const heard: LinkMessage[] = []
  let link: PeerLink | undefined
  let raw: RTCDataChannel | undefined
  const hub = new PeerHub(info, false, {
    connection: (_, channel: RTCDataChannel, terms: LinkTerms) => {
      raw = channel
      if (authenticate) {
        link = new PeerLink(rtcChannel(channel), identity, terms, {
          ready: () => ready.resolve(),
          step: () => undefined,
          message: (message) => heard.push(message),
          custody: () => undefined,
          closed: (reason) => closed.resolve(reason),
        })
        return
      }
      channel.addEventListener('open', () => connected.resolve(channel))
      channel.addEventListener('close', () => closed.resolve(asError(new Error('closed'))))
    },
    fingerprints: (_, fingerprints) => link?.bind(fingerprints),
    gone: () => closed.resolve(asError(new Error('gone'))),
  })
  const socket = new ControlSocket(info, identity, {
    welcomed: (welcome) => void hub.welcomed(welcome).then(() => hub.dial(victim)),
    message: () => undefined,
    lost: () => undefined,
  })
  const close = () => {
    hub.close()
    socket.close()
  }
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`No connection within ${waitMs / 1000} s.`)), waitMs).unref(),
  )
  try {
    await Promise.race([authenticate ? ready.promise : connected.promise, late])
  } catch (error) {
    close()
    throw error
  }
  return {
    sendRaw: (bytes) => raw?.send(bytes.slice()),
    sendMessage: (message) => link?.sendMessage(message),
    heard,
    closed: Promise.race([closed.promise, late]),
    close,
  }
}
