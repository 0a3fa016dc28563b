/**
 * What the server's decisions are made from: models with their plan of stages, volunteers with what they hold, sessions with
 * what they take up. Plain data; placement.ts, routing.ts and admission.ts are functions of it.
 */
import type { PeerId, Revision, SessionId } from '../protocol/ids.ts'
import type { BlockRange, Manifest } from '../protocol/manifest.ts'
import type { Backend } from '../protocol/ticket.ts'
import { splitStages } from '../models/split.ts'

export interface Model {
  readonly revision: Revision
  readonly manifest: Manifest
  /** The stages that assignments are made of: neighbours, in order, covering every block. */
  readonly plan: readonly BlockRange[]
  /** Sessions asked for lately: halves every `demandHalfLifeMs`. */
  demand: number
  demandAt: number
}

export interface Holding {
  readonly lease: string
  readonly revision: Revision
  readonly blocks: BlockRange
  expiresAt: number
  /** Present once the volunteer has said `ready`. */
  ready?: { readonly backend: Backend; readonly rowLimit: number; readonly msPerRow: number; readonly cachePositions: number }
}

export interface Volunteer {
  readonly peer: PeerId
  readonly key: string
  readonly memoryBytes: number
  readonly power: number
  readonly backends: readonly Backend[]
  /** Empty: any. */
  readonly models: readonly Revision[]
  readonly joinedAt: number
  paused: boolean
  holding?: Holding
  /** Sessions it is a stage of, and the positions they reserve. */
  sessions: number
  positions: number
  /** Ranges that failed here (`revision/first-end`), and until when they are not tried again. */
  readonly avoid: Map<string, number>
}

export interface LiveSession {
  readonly session: SessionId
  readonly revision: Revision
  readonly stages: readonly PeerId[]
  readonly maxPositions: number
}

/** 'auto' or a number: every model in exactly so many stages, one a peer. */
export type StageCount = 'auto' | number

/**
 * A stage's weights at most, f32: what a passer-by's tab can hold, and can fetch (a quarter of it, 4-bit) before the person
 * has left (facts: 100-150 MB of download at most).
 */
const stageBytes = 200_000_000
/** Each further stage adds a hop and a chance to break. */
const mostStages = 6
const demandHalfLifeMs = 10 * 60_000

export function planOf(manifest: Manifest, stages: StageCount): BlockRange[] {
  const total = manifest.blocks.reduce((sum, b) => sum + b.residentBytes, 0)
  const wanted = stages === 'auto' ? Math.min(mostStages, Math.ceil(total / stageBytes)) : stages
  return splitStages(manifest.blocks, Math.max(1, Math.min(wanted, manifest.blocks.length)))
}

/** Bytes a stage needs: its weights in f32, and caches for one conversation. */
export function bytesNeeded(manifest: Manifest, { first, end }: BlockRange): number {
  const weights = manifest.blocks.slice(first, end).reduce((sum, b) => sum + b.residentBytes, 0)
  const { decoder } = manifest
  if (!decoder) return weights
  const layers = Math.ceil((decoder.layers * (end - first)) / manifest.blocks.length)
  return weights + Math.min(decoder.context, 2048) * layers * 2 * decoder.kvHeads * decoder.headDim * 4
}

export const rangeKey = (revision: Revision, { first, end }: BlockRange): string => `${revision}/${first}-${end}`

export function demandNow(model: Model, now: number): number {
  return model.demand * 0.5 ** ((now - model.demandAt) / demandHalfLifeMs)
}

export function addDemand(model: Model, now: number): void {
  model.demand = demandNow(model, now) + 1
  model.demandAt = now
}

/** Holders of a range, those still loading included when `any`. */
export function holders(volunteers: Iterable<Volunteer>, revision: Revision, { first, end }: BlockRange, which: 'ready' | 'any'): Volunteer[] {
  const found: Volunteer[] = []
  for (const v of volunteers) {
    const h = v.holding
    if (!h || h.revision !== revision || h.blocks.first > first || h.blocks.end < end) continue
    if (which === 'any' || (h.ready && !v.paused)) found.push(v)
  }
  return found
}
