/**
 * What a volunteer's page (or Node process) and its compute side say to each other. In a tab it crosses a worker by Comlink;
 * in Node it is called directly. Errors cross as data.
 */
import type { Fingerprints, LinkTerms } from '../link/peer-link.ts'
import type { Bytes } from '../protocol/bytes.ts'
import type { Outcome, WireError } from '../protocol/errors.ts'
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { BlockRange, Manifest } from '../protocol/manifest.ts'
import type { ShadowTicket } from '../protocol/shadow.ts'
import type { Backend, Ticket } from '../protocol/ticket.ts'
import type { LoadProgress, StageReport } from './engine/engine.ts'
import type { StageWord } from './ring/session.ts'
import type { Reveal } from './ring/shadow-reveal.ts'
import type { ShadowWord } from './ring/shadow-session.ts'
import type { NodeStats } from './ring/stage-node.ts'

export interface StageRequest {
  readonly manifest: Manifest
  readonly revision: Revision
  readonly range: BlockRange
  readonly backends: readonly Backend[]
  readonly memoryBytes: number
  readonly identity: Identity
  readonly serverKeys: readonly string[]
  /** Base URLs, each ending in a slash. */
  readonly blobsUrl: string
  readonly engineUrl: string
}

export type StageEvent =
  | { readonly t: 'progress'; readonly progress: LoadProgress }
  | { readonly t: 'dial'; readonly peer: PeerId }
  | { readonly t: 'released'; readonly channel: number }
  /** It takes part in a session by this ticket: a new one, or the next generation of one. */
  | { readonly t: 'opened'; readonly ticket: Ticket }
  | { readonly t: 'proof'; readonly proof: Bytes }
  | { readonly t: 'server'; readonly message: StageWord | ShadowWord }
  | { readonly t: 'stats'; readonly stats: NodeStats }
  /** It still serves; told by a worker's clock, which runs on where a hidden page's timers are held back to one a minute. */
  | { readonly t: 'beat' }
  /** The engine can't go on; a new worker is needed. */
  | { readonly t: 'lost'; readonly error: WireError }

/** One stage's life: load once, serve, stop. A new assignment takes a new worker. */
export interface StageApi {
  load(request: StageRequest, onEvent: (event: StageEvent) => void): Promise<Outcome<StageReport>>
  addChannel(id: number, channel: RTCDataChannel, terms: LinkTerms): void
  bindChannel(id: number, fingerprints: Fingerprints): void
  dropChannel(id: number): void
  openSession(ticket: Ticket): Promise<Outcome<void>>
  closeSession(session: SessionId): void
  /** How far the session is here, and how fast; undefined where it is not served. */
  probe(session: SessionId): Promise<{ held: number; serviceMs: number } | undefined>
  /** Computes a stage's work again; the server is told of the end. */
  shadow(ticket: ShadowTicket): void
  reveal(reveal: Reveal): void
  closeShadow(shadow: SessionId): void
  /** Keys whose tickets are good from now on: another server may have taken over. */
  setServerKeys(keys: readonly string[]): void
  setPower(power: number): void
  setPaused(paused: boolean): void
  /** What it came to so far; undefined where nothing is loaded. */
  stats(): Promise<NodeStats | undefined>
  /** Answers as soon as the compute side can: one that is stuck never does. */
  alive(): Promise<void>
  /** Ends every session and frees the engine. */
  stop(): Promise<void>
}
