/**
 * A session as the server knows it while it lives: who asked, which volunteers serve it in this generation, and what is waited
 * for. Data alone; what becomes of it is decided in sessions.ts, failover.ts and adoption.ts.
 */
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { Sampling } from '../protocol/sampling.ts'
import { linkEnds, promptLink, type Ticket } from '../protocol/ticket.ts'
import type { Who } from './admission.ts'
import type { Viewpoint } from './audience.ts'
import type { CustodyLedger } from './custody-ledger.ts'
import type { Done } from './settlement.ts'
import type { Pace } from './stall.ts'
import type { Volunteer } from './swarm.ts'

/** A request for a session, as its requester sent it. */
export interface Asked {
  readonly peer: PeerId
  readonly key: string
  /** Undefined where everybody counts by key alone. */
  readonly network: string | undefined
  /** The project that it is for; the public where there is none. After the server's restart, what its requester says it is. */
  readonly viewpoint?: Viewpoint
  /** What the requester calls it. Undefined after the server's restart, until it has said so. */
  readonly id: number | undefined
  readonly revision: Revision
  readonly maxPositions: number
  readonly sampling: Sampling | null
  /** Sessions of the same requester whose peers must not take part. */
  readonly apart?: readonly SessionId[]
  /** The session that was found wrong, and which this one does again. */
  readonly corrects?: SessionId
}

export interface Session {
  asked: Asked
  readonly session: SessionId
  /** The session that the request began as. */
  readonly request: SessionId
  readonly manifest: Manifest
  /** Under which its outcome may be written. */
  readonly epoch: number
  readonly startedAt: number
  /** When its tickets expire, since 1970: the same for every generation. */
  readonly expiresAt: number
  /** Rows a run may have; no reroute changes it. */
  readonly maxRows: number
  /** Who has a place taken for it, in the order of their blocks: fewer than make a pipeline while a part is waited for. */
  stages: readonly Volunteer[]
  /** Present once a ticket is signed. */
  ledger?: CustodyLedger
  /** Counts the tickets begun: one that is overtaken while it is being signed is told to nobody. */
  attempt: number
  /** Whom it goes without from now on. */
  readonly without: Set<PeerId>
  /** Who was replaced because it held the session up: not taken again while others can go on, but before the session ends. */
  readonly slow: Set<PeerId>
  /** Links that broke, by their two ends. */
  readonly brokenLinks: Map<string, BrokenLink>
  /** Stages that want to go: others take over when they have caught up, or then. */
  readonly leaving: Map<PeerId, { readonly until: number }>
  /** Stages that were replaced because something failed there. */
  faults: number
  /** Since when a part of the pipeline is waited for, and the reason that the requester has heard. */
  waiting?: { readonly since: number; reason: string }
  /** Taken over from before the server's restart: its stages are waited for, and none is replaced meanwhile. */
  gatheringUntil?: number
  /** Its stages are asked how far they are. */
  probe?: Probe
  /** A stage that was replaced needs a moment to catch up: nobody is asked again before. */
  quietUntil: number
  /** The requester is done with it; the last stage's word is waited for, which may come later by its own socket. */
  closing: boolean
  /** The last stage's word that it ended; the last proofs are waited for. */
  done?: Done
  /** Nothing more is waited for after this. */
  dueAt: number
  released: boolean
  settling?: Promise<void>
}

export interface BrokenLink {
  readonly times: number
  readonly at: number
  /** Those of the two who have reported it. */
  readonly by: ReadonlySet<PeerId>
}

export interface Probe {
  readonly position: number
  readonly until: number
  readonly paces: Map<PeerId, Pace>
}

/** Whose session it is, by network and by key. */
export const whose = ({ network, peer }: Asked): Who => (network === undefined ? [peer] : [network, peer])

/** Everybody who was a stage of it in any generation. */
export function stagePeers({ stages, ledger }: Session): Set<PeerId> {
  const peers = new Set(stages.map((v) => v.peer))
  for (const ticket of ledger?.tickets ?? []) for (const { peer } of ticket.stages) peers.add(peer)
  return peers
}

export const isParty = (s: Session, peer: PeerId): boolean => s.asked.peer === peer || stagePeers(s).has(peer)

/** The last stage of the latest ticket. */
export const hostOf = ({ ledger }: Session): PeerId | undefined => ledger && linkEnds(ledger.ticket, promptLink(ledger.ticket))?.to

export const isStageOf = (ticket: Ticket, peer: PeerId): boolean => ticket.stages.some((s) => s.peer === peer)
