/** Signed tickets for tests: the stages share `blocks` evenly. */
import { toHex } from '../protocol/bytes.ts'
import type { Revision, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import { signTicket, type Ticket } from '../protocol/ticket.ts'

export interface TicketOptions {
  readonly revision?: Revision
  readonly boundaries?: readonly number[]
  readonly maxPositions?: number
  readonly maxRows?: number
  readonly issuedAt?: number
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
