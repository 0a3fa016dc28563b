/**
 * What proves a receipt without its server: the tickets of all the session's generations, and every chunk's proof. Written
 * once, at the answer's end; binary, little-endian. docs/protocol.md [RC].
 */
import * as v from 'valibot'
import { concatBytes, fromUtf8, utf8, type Bytes } from './bytes.ts'
import { proofBytes } from './custody.ts'
import { ManyhandsError } from './errors.ts'
import { canonicalJson } from './hash.ts'
import { ticketSchema, type Ticket } from './ticket.ts'

export interface Evidence {
  /** In the order of their generations; the last one's stages are the receipt's. */
  readonly tickets: readonly Ticket[]
  /** In the order of (generation, link, seq): the leaves of the receipt's Merkle root. */
  readonly proofs: readonly Bytes[]
}

/** A ticket and the proofs of a session of 8,192 positions over 8 stages (11 links, 256 chunks of 195 bytes each), seven times. */
export const maxEvidenceBytes = 4 * 1024 * 1024
/** A session that was rerouted more often than this has long been given up. */
export const maxTickets = 64

const version = 1
/** version u8, bytes of the tickets' JSON u32. */
const headerBytes = 5
const ticketsSchema = v.pipe(v.array(ticketSchema), v.minLength(1), v.maxLength(maxTickets))

/** Undefined for a session so long, or rerouted so often, that nobody is to keep its evidence. */
export function encodeEvidence({ tickets, proofs }: Evidence): Bytes | undefined {
  const json = utf8(canonicalJson(tickets))
  if (tickets.length > maxTickets || headerBytes + json.length + proofs.length * proofBytes > maxEvidenceBytes) return undefined
  const header = new Uint8Array(headerBytes)
  const view = new DataView(header.buffer)
  view.setUint8(0, version)
  view.setUint32(1, json.length, true)
  return concatBytes([header, json, ...proofs])
}

/** Tickets and proofs as they were written; whether they prove anything is for their reader to check. @throws ManyhandsError bad-message */
export function decodeEvidence(bytes: Uint8Array): Evidence {
  if (bytes.length > maxEvidenceBytes) throw bad(`${bytes.length} bytes are over the limit of ${maxEvidenceBytes}`)
  if (bytes.length < headerBytes) throw bad('it ends in its header')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint8(0) !== version) throw bad(`its version is ${view.getUint8(0)}, not ${version}`)
  const from = headerBytes + view.getUint32(1, true)
  if (from > bytes.length) throw bad('it ends in its tickets')
  if ((bytes.length - from) % proofBytes !== 0) throw bad(`its proofs are not whole: each takes ${proofBytes} bytes`)
  const proofs: Bytes[] = []
  for (let at = from; at < bytes.length; at += proofBytes) proofs.push(bytes.slice(at, at + proofBytes))
  return { tickets: parseTickets(bytes.subarray(headerBytes, from)), proofs }
}

function parseTickets(json: Uint8Array): Ticket[] {
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(json))
  } catch (cause) {
    throw bad('its tickets are not JSON', cause)
  }
  const parsed = v.safeParse(ticketsSchema, value)
  if (!parsed.success) throw bad(`ticket ${v.getDotPath(parsed.issues[0]) ?? ''}: ${parsed.issues[0].message}`)
  return parsed.output
}

const bad = (what: string, cause?: unknown) => new ManyhandsError('bad-message', `Evidence refused: ${what}.`, { cause })
