/**
 * What travels of a project: its public id, its keys, and what the server says of it over HTTP. docs/protocol.md [PJ].
 */
import * as v from 'valibot'
import { isProjectId, type ProjectId } from './ids.ts'

/** Whom a project's volunteers serve: its own requests first and the public after, or its own alone. */
export const audiences = ['first', 'only'] as const
export type Audience = (typeof audiences)[number]

/** Origins of one project: its site, with its test and preview addresses. */
export const maxOrigins = 16
/** Stands among a project's origins where its key may also be used outside browsers, which name no origin. */
export const serverOrigin = 'server'
export const maxNameChars = 80
/** A day's counters are given out for so many days at most. */
export const maxDays = 400

export const projectIdSchema = v.custom<ProjectId>(isProjectId, 'A project is named p_ and 16 letters or digits')
/** `mh_` and 32 random bytes in base64url: what a project's requests carry. Anyone who can read its page has it. */
export const projectKeySchema = v.pipe(v.string(), v.regex(/^mh_[A-Za-z0-9_-]{43}$/))
export const isProjectKey = (s: unknown): s is string => v.is(projectKeySchema, s)
/** `mo_` and the same: what its owner manages it with. */
export const ownerKeySchema = v.pipe(v.string(), v.regex(/^mo_[A-Za-z0-9_-]{43}$/))

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** What is counted of a project, on a day or ever. */
export const countersSchema = v.strictObject({
  /** Times that its widget was shown, a few a day from one network at most. */
  visitors: count,
  /** Those who said yes: peers that offered to give for it, each once a day. */
  consents: count,
  /** Rows of verified work that its volunteers gave, for whomever. */
  rows: count,
  /** Its requests that were answered, and how many of them by its own volunteers alone. */
  requests: count,
  byAudience: count,
})
export type Counters = v.InferOutput<typeof countersSchema>

/** `GET /v1/projects/:id`, for anyone. */
export const projectInfoSchema = v.strictObject({
  id: projectIdSchema,
  name: v.pipe(v.string(), v.maxLength(maxNameChars)),
  audience: v.picklist(audiences),
  revoked: v.boolean(),
  counters: countersSchema,
})
export type ProjectInfo = v.InferOutput<typeof projectInfoSchema>

/** The same for its owner, and in the operator's list. */
export const ownedProjectSchema = v.strictObject({
  ...projectInfoSchema.entries,
  origins: v.pipe(v.array(v.string()), v.maxLength(maxOrigins)),
  /** Since 1970, ms. */
  createdAt: count,
  /** Of every key that is good still: until when (ms since 1970), null for the present one. */
  keys: v.array(v.strictObject({ until: v.nullable(count) })),
})
export type OwnedProject = v.InferOutput<typeof ownedProjectSchema>

/** `GET /v1/projects/:id/days`: the days on which anything was counted, the latest first. */
export const projectDaysSchema = v.strictObject({
  days: v.pipe(v.array(v.strictObject({ day: v.pipe(v.string(), v.isoDate()), ...countersSchema.entries })), v.maxLength(maxDays)),
})
export type ProjectDays = v.InferOutput<typeof projectDaysSchema>
