/**
 * One re-execution of a stage's work: the shadow's ticket, what its commitment shows against what the stage signed, and which
 * chunks are looked at more closely where backends round differently. Pure but for signatures. docs/protocol.md [AU].
 */
import type { Hash, PeerId, SessionId } from '../protocol/ids.ts'
import type { Identity } from '../protocol/keys.ts'
import type { ClientMessage } from '../protocol/client-messages.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import { signShadowTicket, type ShadowTicket } from '../protocol/shadow.ts'
import { sketchWidth } from '../protocol/sketch.ts'
import type { Party, SignedOutput, StageJob } from './audit-plan.ts'

type Revealed = Extract<ServerMessage, { t: 'reveal' }>
export type Revealing = Pick<Revealed, 'holder' | 'chunks'>

/** Chunks that are sketched of one re-execution at most: a lie that spares all of sixteen spares nearly all. */
const mostRevealed = 16
/** Tokens whose logits a WebGPU host keeps. */
const keptLogits = 64
/** Chunks of tokens, of those that can't be looked at, in which backends may have resolved a tie differently. */
const mostTies = (chunks: number) => 1 + Math.ceil(chunks / 10)

const leastRunMs = 15_000
/** The rows are kept for some minutes only. */
const mostRunMs = 120_000
/** Against its measured speed: long contexts, live sessions that go first, rows that come by a slow line. */
const patience = 10

/** Milliseconds that an auditor is waited for. @param msPerRow of a run of one row, at full power */
export const runMs = (rows: number, msPerRow: number, power: number): number =>
  Math.ceil(Math.min(mostRunMs, leastRunMs + (patience * rows * msPerRow) / Math.max(0.05, power)))

export interface RunTimes {
  /** Wall time, ms since 1970. */
  readonly issuedAt: number
  readonly expiresAt: number
}

export function auditTicket(
  job: StageJob,
  shadow: SessionId,
  auditor: Party,
  source: Party,
  server: Identity,
  times: RunTimes,
): Promise<ShadowTicket> {
  const { session, revision, stage, last, link, rows, inputCuts, promptLength, sampling, maxPositions, maxRows, backend } = job
  return signShadowTicket(
    {
      v: 1,
      shadow,
      role: 'audit',
      session,
      revision,
      stage,
      blocks: [job.first, job.end],
      last,
      peer: auditor.peer,
      key: auditor.key,
      source: { peer: source.peer, key: source.key },
      link,
      rows,
      inputCuts: [...inputCuts],
      outputs: job.outputs.map((o) => ({ link: o.link, position: o.position, cuts: o.chunks.map((c) => c.rows) })),
      promptLength,
      sampling,
      maxPositions,
      maxRows,
      backend,
      ...times,
      serverKey: server.publicKey,
    },
    server.privateKey,
  )
}

/** Whether it is of the form that the ticket asked for. */
export const fitsTicket = (job: StageJob, outputs: readonly (readonly Hash[])[]): boolean =>
  outputs.length === job.outputs.length && job.outputs.every((o, i) => o.chunks.length === outputs[i]?.length)

/** What the stage itself signed, in the form of a commitment. */
export const signedHashes = (job: StageJob): Hash[][] => job.outputs.map((o) => o.chunks.map((c) => c.hash))

export const hashesEqual = (a: readonly (readonly Hash[])[], b: readonly (readonly Hash[])[]): boolean =>
  a.length === b.length && a.every((hashes, i) => hashes.length === b[i]?.length && hashes.every((hash, j) => hash === b[i]?.[j]))

/**
 * Which chunks of the stage's are fetched and sketched, those that differ first. Of a host with logits the last tokens': its
 * tokens must follow from them. 'different' when more tokens differ than ties explain.
 * @param online who can be asked
 * @param random uniform in [0, 1)
 * @returns undefined when nobody is there who has them
 */
export function revealing(
  job: StageJob,
  outputs: readonly (readonly Hash[])[],
  online: (peer: PeerId) => boolean,
  random: () => number,
): Revealing | 'different' | undefined {
  const holder = (job.last ? [job.peer] : [job.receiver, job.peer]).find(online)
  if (holder === undefined) return undefined
  const placed = job.outputs.map(placedChunks)
  const differs = (link: number, chunk: number) => placed[link]?.[chunk]?.hash !== outputs[link]?.[chunk]
  const [first = [], logits] = placed
  if (!logits) {
    const order = shuffled(first.keys(), random).sort((a, b) => Number(differs(0, b)) - Number(differs(0, a)))
    return { holder, chunks: order.slice(0, mostRevealed).flatMap((i) => first[i] ?? []) }
  }
  let left = keptLogits
  const near = [...logits.keys()].reverse().filter((i) => (left -= logits[i]?.rows ?? 0) >= 0)
  const unseen = [...first.keys()].filter((i) => !near.includes(i))
  if (unseen.filter((i) => differs(0, i)).length > mostTies(unseen.length)) return 'different'
  return { holder, chunks: near.slice(0, mostRevealed).flatMap((i) => [logits[i] ?? [], first[i] ?? []].flat()) }
}

/** Rows of tensors that a sketch must cover; undefined where the model's outputs say how many there are. */
export function sketchedRows(job: StageJob, { chunks }: Revealing): number | undefined {
  const [first, logits] = job.outputs
  if (job.last && !logits) return undefined
  return chunks.reduce((sum, c) => sum + (job.last && c.link === first?.link ? 0 : c.rows), 0)
}

/** Both sketches of a message, of the same form and as many rows as were asked for; undefined for anything else. */
export function readSketches(
  { own, theirs }: Extract<ClientMessage, { t: 'sketched' }>,
  rows: number | undefined,
): { readonly own: Float32Array; readonly theirs: Float32Array } | undefined {
  const [a, b] = [floats(own), floats(theirs)]
  if (!a || !b || a.length === 0 || a.length !== b.length || a.length % sketchWidth !== 0) return undefined
  if (rows !== undefined && a.length !== rows * sketchWidth) return undefined
  return { own: a, theirs: b }
}

// ----------------------------------------------------------------------------------------------------------------------

function placedChunks({ link, position, chunks }: SignedOutput): Revealing['chunks'] {
  let at = position
  return chunks.map(({ rows, hash }) => {
    const chunk = { link, position: at, rows, hash }
    at += rows
    return chunk
  })
}

/** All of them, each order as likely as any other. */
function shuffled(items: Iterable<number>, random: () => number): number[] {
  const all = [...items]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[all[i], all[j]] = [all[j] as number, all[i] as number]
  }
  return all
}

/** Little-endian f32s of base64. */
function floats(base64: string): Float32Array | undefined {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.length % 4 !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true))
}
