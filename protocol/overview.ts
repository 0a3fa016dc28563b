/**
 * What a server tells anyone of its network as it is now, and of what a peer gave, day by day. Bounded whatever the size of the
 * network: coverage is added up by runs of blocks, volunteers are a sample. docs/protocol.md [OV].
 */
import * as v from 'valibot'
import { maxBlocks } from './limits.ts'
import { modelInfoSchema } from './server-messages.ts'
import { peerIdSchema, revisionSchema, timeSchema } from './ticket.ts'

/** Volunteers that an overview shows; of more it is a sample. */
export const maxShownVolunteers = 200
/** Models that one server has: what a catalogue holds. */
const maxModels = 1000
/** Backends that are doubted at one time: far more than there are drivers with faults. */
export const maxQuarantines = 100
/** A peer's work is told for so many days at most. */
export const maxWorkDays = 400
export const usualWorkDays = 90

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const rate = v.pipe(v.number(), v.finite(), v.minValue(0))
const block = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxBlocks))
const blocks = v.strictTuple([block, block])
const { name, title, revision, availability } = modelInfoSchema.entries

/** A run of blocks that are held alike. */
export const coverageSchema = v.strictObject({
  blocks,
  /** Hold them or fetch them; of those, serve them now; of those, are proven. */
  holders: count,
  ready: count,
  proven: count,
})
export type Coverage = v.InferOutput<typeof coverageSchema>

export const modelOverviewSchema = v.strictObject({
  name,
  title,
  revision,
  availability,
  blocks: block,
  /** False: another server has this swarm, and only what it tells the others is known here. */
  here: v.boolean(),
  volunteers: count,
  coverage: v.pipe(v.array(coverageSchema), v.maxLength(maxBlocks)),
  /** Of those that serve. */
  backends: v.strictObject({ webgpu: count, wasm: count }),
  sessions: count,
  queued: count,
  /** Positions of finished answers, prompts included, over the last minute. */
  rowsPerSecond: rate,
})
export type ModelOverview = v.InferOutput<typeof modelOverviewSchema>

export const shownVolunteerSchema = v.strictObject({
  peer: peerIdSchema,
  state: v.picklist(['waiting', 'loading', 'serving', 'paused', 'leaving', 'away']),
  trust: v.picklist(['new', 'proven', 'anchor', 'barred']),
  onlineMs: count,
  sessions: count,
  revision: v.exactOptional(revisionSchema),
  blocks: v.exactOptional(blocks),
  backend: v.exactOptional(v.picklist(['webgpu', 'wasm'])),
  /** As it measured itself. */
  rowsPerSecond: v.exactOptional(rate),
})
export type ShownVolunteer = v.InferOutput<typeof shownVolunteerSchema>

/** `GET /v1/network`. */
export const networkOverviewSchema = v.strictObject({
  v: v.literal(1),
  at: timeSchema,
  models: v.pipe(v.array(modelOverviewSchema), v.maxLength(maxModels)),
  volunteers: v.strictObject({
    online: count,
    serving: count,
    shown: v.pipe(v.array(shownVolunteerSchema), v.maxLength(maxShownVolunteers)),
  }),
  /** Of the last hour: work computed again that came to the same, that found somebody wrong, that nobody could decide, or nobody could do. */
  audits: v.strictObject({ agreed: count, lost: count, split: count, undone: count }),
  /** Backends that were found wrong on a model: nobody serves it so. */
  quarantines: v.pipe(
    v.array(
      v.strictObject({
        revision: revisionSchema,
        backend: v.pipe(v.string(), v.maxLength(20)),
        adapter: v.pipe(v.string(), v.maxLength(300)),
      }),
    ),
    v.maxLength(maxQuarantines),
  ),
})
export type NetworkOverview = v.InferOutput<typeof networkOverviewSchema>

/** One day, in UTC. */
export const workDaySchema = v.strictObject({
  day: v.pipe(v.string(), v.isoDate()),
  /** Rows in answers, and rows of others' computed again: to check them, to earn trust, to be ready. */
  stage: count,
  audit: count,
  shadow: count,
  standby: count,
  /** Pieces of work that they are the rows of. */
  pieces: count,
})
export type WorkDay = v.InferOutput<typeof workDaySchema>

/** `GET /v1/peers/:peer/work`: the days on which it gave anything, the latest first. */
export const peerWorkSchema = v.strictObject({
  peer: peerIdSchema,
  days: v.pipe(v.array(workDaySchema), v.maxLength(maxWorkDays)),
})
export type PeerWork = v.InferOutput<typeof peerWorkSchema>
