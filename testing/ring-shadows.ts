/** The server's part of shadows in a ring in memory: tickets from the proofs that the ring's peers reported, and what they signed. */
import { toHex } from '../protocol/bytes.ts'
import { chunkBytes, decodeChunk, type Chunk } from '../protocol/custody.ts'
import type { Step } from '../protocol/frames.ts'
import type { Hash, SessionId } from '../protocol/ids.ts'
import { inputsHash, signShadowTicket, type ShadowTicket } from '../protocol/shadow.ts'
import { answerLink, logitsLink, type Ticket, type TicketStage } from '../protocol/ticket.ts'
import type { ShadowWord } from '../worker/ring/shadow-session.ts'
import type { Ring } from './ring.ts'

/** A link's chunks in order of position; where a reroute had some sent again, the last word counts. */
export function signedOn(ring: Ring, session: SessionId, link: number): Chunk[] {
  const chunks = ring.proofs.map((proof) => decodeChunk(proof.subarray(0, chunkBytes)))
  const newest = new Map<number, Chunk>()
  for (const chunk of chunks.filter((c) => c.session === session && c.link === link)) {
    const known = newest.get(chunk.firstPosition)
    if (!known || known.generation < chunk.generation) newest.set(chunk.firstPosition, chunk)
  }
  return [...newest.values()].sort((a, b) => a.firstPosition - b.firstPosition)
}

/** The links that a stage sends on, as audits count them. */
const outLinks = (ticket: Ticket, stage: number): number[] =>
  stage < ticket.stages.length - 1 ? [stage + 1] : ticket.sampling ? [answerLink(ticket), logitsLink(ticket)] : [answerLink(ticket)]

/** @param shadow and source among the ring's volunteers */
export async function shadowTicket(
  ring: Ring,
  ticket: Ticket,
  stage: number,
  promptLength: number,
  who: { readonly shadow: number; readonly source: number },
  role: ShadowTicket['role'] = 'audit',
): Promise<ShadowTicket> {
  const [shadow, source] = [ring.identities[who.shadow], ring.identities[who.source]]
  if (!shadow || !source) throw new Error('no such volunteers')
  const inputs = role === 'audit' ? signedOn(ring, ticket.session, stage) : []
  const outputs = role === 'audit' ? outLinks(ticket, stage) : []
  const { blocks, backend } = ticket.stages[stage] as TicketStage
  return signShadowTicket(
    {
      v: 1,
      shadow: toHex(crypto.getRandomValues(new Uint8Array(16))) as SessionId,
      role,
      session: ticket.session,
      revision: ticket.revision,
      stage,
      blocks,
      last: stage === ticket.stages.length - 1,
      peer: shadow.id,
      key: shadow.publicKey,
      source: { peer: source.id, key: source.publicKey },
      link: stage,
      rows: inputs.reduce((sum, { rows }) => sum + rows, 0),
      inputCuts: inputs.map(({ rows }) => rows),
      outputs: outputs.map((link) => {
        const chunks = signedOn(ring, ticket.session, link)
        return { link, position: chunks[0]?.firstPosition ?? 0, cuts: chunks.map(({ rows }) => rows) }
      }),
      promptLength,
      sampling: ticket.sampling,
      maxPositions: ticket.maxPositions,
      maxRows: ticket.maxRows,
      backend,
      issuedAt: ticket.issuedAt,
      expiresAt: ticket.expiresAt,
      serverKey: ring.server.publicKey,
    },
    ring.server.privateKey,
  )
}

/** What an audit commits to when the stage computed what it signed. */
export async function committed(ring: Ring, of: ShadowTicket): Promise<Pick<Extract<ShadowWord, { t: 'audited' }>, 'inputs' | 'outputs'>> {
  const hashes = (link: number) => signedOn(ring, of.session, link).map(({ payloadHash }) => toHex(payloadHash) as Hash)
  return { inputs: await inputsHash(signedOn(ring, of.session, of.link)), outputs: of.outputs.map(({ link }) => hashes(link)) }
}

/** Starts the shadow at its volunteer and resolves to what it tells the server of it. */
export function audit(ring: Ring, shadow: number, ticket: ShadowTicket) {
  void ring.nodes[shadow]?.shadows.start(ticket)
  return ring.heard((message) => 'shadow' in message && message.shadow === ticket.shadow)
}

/** The token of a step of the answer: behind the table of its shape [1, 1]. */
export const tokenOf = ({ payload }: Step): number => Number(new DataView(payload.buffer, payload.byteOffset + 9).getBigInt64(0, true))
