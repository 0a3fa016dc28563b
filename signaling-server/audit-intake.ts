/**
 * What audits take in of a session that ended: each stage's work with what was signed of it, and who may not audit it; and
 * whose work can't be checked because they did not sign. docs/protocol.md [AU].
 */
import type { PeerId } from '../protocol/ids.ts'
import { linkEnds } from '../protocol/ticket.ts'
import { stageChunks, stageJobs } from './audit-plan.ts'
import { signedHashes } from './audit-run.ts'
import type { Job, KeptSession, Participant } from './kept-sessions.ts'
import type { Serving } from './routing.ts'
import { expectedRows } from './settlement.ts'
import type { Standings } from './standings.ts'
import { backendKey } from './trust/quarantine.ts'
import type { EndedSession } from './trust-port.ts'

export interface IntakePorts {
  readonly standings: Pick<Standings, 'known'>
  volunteer(peer: PeerId): Serving | undefined
  uptime(): number
}

export async function keptSession(ended: EndedSession, promptHash: string, ports: IntakePorts): Promise<KeptSession> {
  const { session, request, asked, ledger, custody } = ended
  const jobs: Job[] = []
  const peers = new Set(ledger.tickets.flatMap((t) => t.stages.map((s) => s.peer)))
  const participants: Participant[] = [...peers].map((peer) => ({ peer, prefix: ports.standings.known(peer).prefix }))
  const endedAt = ports.uptime()
  const kept: KeptSession = {
    session,
    request,
    revision: asked.revision,
    requester: asked.peer,
    viewpoint: asked.viewpoint,
    endedAt,
    participants: [...participants, { peer: asked.peer, prefix: asked.network }],
    chunks: stageChunks(ledger),
    promptHash,
    jobs,
    pending: 0,
    wrong: false,
    // What was not all proven stays provisional.
    settled: custody.failed > 0,
  }
  for (const job of await stageJobs(ledger)) {
    const { peer, backend, revision, chunks } = job
    const key = backendKey(revision, backend, ports.volunteer(peer)?.holding.ready.adapter)
    const producer = { peer, wasm: backend === 'wasm', backendKey: key, outputs: signedHashes(job) }
    jobs.push({ of: kept, job, producer, at: endedAt, chunks, checked: false, agreed: [], open: false })
  }
  return kept
}

/** Stages at the ends of links of which rows are missing: one of the two did not sign. */
export function unproven({ ledger, manifest, done }: EndedSession): Set<PeerId> {
  const { ticket } = ledger
  const peers = new Set<PeerId>()
  for (const [link, { from, to }] of expectedRows(ticket, manifest, done) ?? []) {
    const ends = linkEnds(ticket, link)
    if (!ends || link >= ticket.stages.length || ledger.rows(link) >= to - from) continue
    peers.add(ends.from).add(ends.to)
  }
  return peers
}
