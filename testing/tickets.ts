/** Signed tickets for tests: the stages share `blocks` evenly. */
import { toHex } from '../protocol/bytes.ts'
import type { Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Sampling } from '../protocol/sampling.ts'
import { signShadowTicket, type ShadowTicket } from '../protocol/shadow.ts'
import { signTicket, type Ticket } from '../protocol/ticket.ts'

export interface TicketOptions {
  readonly revision?: Revision
  readonly boundaries?: readonly number[]
  readonly maxPositions?: number
  readonly maxRows?: number
  readonly issuedAt?: number
  /** None: a model without a decoder. */
  readonly sampling?: Sampling
}

export function makeTicket(
  server: Identity,
  requester: Identity,
  stages: readonly Identity[],
  options: TicketOptions = {},
): Promise<Ticket> {
  const issuedAt = options.issuedAt ?? Date.now()
  const at = (i: number) => options.boundaries?.[i] ?? i
  return signTicket(
    {
      v: 1,
      session: toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId,
      revision: options.revision ?? ('00'.repeat(32) as Revision),
      requester: { peer: requester.id, key: requester.publicKey },
      stages: stages.map((s, i) => ({ peer: s.id, key: s.publicKey, blocks: [at(i), at(i + 1)], backend: 'wasm' })),
      sampling: options.sampling ?? null,
      maxPositions: options.maxPositions ?? 256,
      maxRows: options.maxRows ?? 16,
      epoch: 1,
      generation: 0,
      issuedAt,
      expiresAt: issuedAt + 60_000,
      serverKey: server.publicKey,
    },
    server.privateKey,
  )
}

/** An audit of the ticket's second stage, by `shadow`, with rows from `source`. */
export function makeShadowTicket(
  server: Identity,
  shadow: Identity,
  source: Identity,
  of: Ticket,
  change: Partial<ShadowTicket> = {},
): Promise<ShadowTicket> {
  return signShadowTicket(
    {
      v: 1,
      shadow: toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId,
      role: 'audit',
      session: of.session,
      revision: of.revision,
      stage: 1,
      blocks: of.stages[1]?.blocks ?? [1, 2],
      last: of.stages.length === 2,
      peer: shadow.id,
      key: shadow.publicKey,
      source: { peer: source.id, key: source.publicKey },
      link: 1,
      rows: 3,
      inputCuts: [3],
      outputs: [{ link: 2, position: 0, cuts: [3] }],
      promptLength: 2,
      sampling: of.sampling,
      maxPositions: of.maxPositions,
      maxRows: of.maxRows,
      backend: 'wasm',
      issuedAt: of.issuedAt,
      expiresAt: of.expiresAt,
      serverKey: server.publicKey,
      ...change,
    },
    server.privateKey,
  )
}
