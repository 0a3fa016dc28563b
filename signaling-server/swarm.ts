/**
 * What the server's decisions are made from: models with their plan of stages, volunteers with what they hold and what they
 * carry. Plain data; placement.ts and routing.ts are functions of it, for the server and for a simulation alike.
 */
import { splitStages } from '../models/split.ts'
import type { PeerId, ProjectId, Revision } from '../protocol/ids.ts'
import type { BlockRange, Manifest } from '../protocol/manifest.ts'
import type { Audience } from '../protocol/projects.ts'
import type { Backend } from '../protocol/ticket.ts'

export interface Model {
  readonly revision: Revision
  readonly manifest: Manifest
  /** The segments that assignments are made of: neighbours, in order, covering every block. */
  readonly plan: readonly BlockRange[]
  /** Sessions asked for lately: halves every `demandHalfLifeMs`. */
  demand: number
  demandAt: number
}

export interface Ready {
  readonly backend: Backend
  /** The GPU's own words; empty on wasm. */
  readonly adapter: string
  readonly rowLimit: number
  readonly msPerRow: number
  readonly cachePositions: number
}

export interface Holding {
  readonly lease: string
  readonly revision: Revision
  readonly blocks: BlockRange
  expiresAt: number
  /** Once the volunteer has said `ready`. */
  ready?: Ready
}

export interface Volunteer {
  readonly peer: PeerId
  readonly key: string
  readonly memoryBytes: number
  readonly power: number
  readonly backends: readonly Backend[]
  /** Empty: any. */
  readonly models: readonly Revision[]
  /** Whose requests come first here, or are the only ones; absent: the public's. */
  gives?: Giving
  /** When it came. */
  readonly since: number
  /** Its offer stands: it takes an assignment now. */
  willing: boolean
  paused: boolean
  /** It wants to go: no new sessions, and those under way are handed over. */
  leaving?: boolean
  /** The prefix of its address, where that counts. */
  readonly network?: string
  /** A session stood still because of it: others come first until then. */
  slowUntil?: number
  /** When its socket was lost; its lease goes on for a while. */
  awaySince?: number
  holding?: Holding
  /** Sessions it is a stage of, and the positions they reserve. */
  sessions: number
  positions: number
  /** What failed here, by `rangeKey`. */
  readonly failures: Map<string, Failure>
}

/** What somebody who came by a project's widget gives, as the project has it now. */
export interface Giving {
  readonly project: ProjectId
  readonly audience: Audience
}

export interface Failure {
  readonly times: number
  /** Not tried again before. */
  readonly until: number
}

/** A model and the volunteers that hold a part of it, loading or ready. */
export interface Swarm {
  readonly model: Model
  readonly members: ReadonlySet<Volunteer>
}

/** 'auto' or a number: every model in exactly so many stages, one a peer. */
export type StageCount = 'auto' | number

/**
 * A stage's weights at most, in f32: what a passer-by's tab can hold, and can fetch (a quarter of it, 4-bit) before the person
 * has left.
 */
export const stageBytes = 200_000_000
/** Each further stage adds a hop and a chance to break. */
export const mostStages = 6
/** A conversation that a volunteer must have room for besides its weights. */
const conversationPositions = 2048
const demandHalfLifeMs = 10 * 60_000

/** With 'auto' the fewest stages of which none weighs more than `stageBytes`. */
export function planOf(manifest: Manifest, stages: StageCount): BlockRange[] {
  const { blocks } = manifest
  if (stages !== 'auto') return splitStages(blocks, Math.min(stages, blocks.length))
  const most = Math.min(mostStages, blocks.length)
  for (let count = 1; count < most; count++) {
    const plan = splitStages(blocks, count)
    if (plan.every((range) => weightBytes(manifest, range) <= stageBytes)) return plan
  }
  return splitStages(blocks, most)
}

const weightBytes = ({ blocks }: Manifest, { first, end }: BlockRange) =>
  blocks.slice(first, end).reduce((sum, b) => sum + b.residentBytes, 0)

/** Bytes that a range takes: its weights in f32, and caches for one conversation. */
export function bytesNeeded(manifest: Manifest, range: BlockRange): number {
  const weights = weightBytes(manifest, range)
  const { decoder } = manifest
  if (!decoder) return weights
  const layers = Math.ceil((decoder.layers * (range.end - range.first)) / manifest.blocks.length)
  return weights + Math.min(decoder.context, conversationPositions) * layers * 2 * decoder.kvHeads * decoder.headDim * 4
}

export const rangeKey = (revision: Revision, { first, end }: BlockRange): string => `${revision}/${first}-${end}`

export const holds = ({ holding }: Volunteer, { first, end }: BlockRange): boolean =>
  holding !== undefined && holding.blocks.first <= first && holding.blocks.end >= end

/** Takes new sessions. */
export const isServing = (v: Volunteer): boolean =>
  v.holding?.ready !== undefined && !v.paused && v.leaving !== true && v.awaySince === undefined

/** Serves, or will when it has loaded. */
export const isCounted = (v: Volunteer): boolean => v.holding !== undefined && !v.paused && v.leaving !== true && v.awaySince === undefined

export function demandNow(model: Model, now: number): number {
  return model.demand * 0.5 ** (Math.max(0, now - model.demandAt) / demandHalfLifeMs)
}

export function addDemand(model: Model, now: number): void {
  model.demand = demandNow(model, now) + 1
  model.demandAt = now
}
