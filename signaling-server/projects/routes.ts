/**
 * Projects over HTTP: made with the operator's token, managed with the owner's key, both in the Authorization header and
 * nowhere else; what everybody may know, without. docs/protocol.md [PJ].
 */
import { Hono, type Context } from 'hono'
import * as v from 'valibot'
import { ManyhandsError } from '../../protocol/errors.ts'
import { isProjectId, type ProjectId } from '../../protocol/ids.ts'
import { audiences, maxDays, maxOrigins, type OwnedProject, type ProjectDays, type ProjectInfo } from '../../protocol/projects.ts'
import { networkPrefix } from '../network-prefix.ts'
import { RateLimiter } from '../rate-limit.ts'
import { routeHeaders } from '../route-classes.ts'
import { checkedTerms, goodKeys, hashKey, isOwnerKey, rotated, sameHash, withNewOwner, type Project } from './project.ts'
import type { Projects } from './projects.ts'
import type { ProjectStore } from './project-store.ts'
import { dateOf } from '../work-days.ts'
import { dayOf } from './tally.ts'

export interface ProjectRoutesDeps {
  readonly projects: Projects
  readonly store: Pick<ProjectStore, 'totals' | 'days'>
  readonly operatorToken: string
  /** The client's. */
  addressOf(c: Context): string
  /** Wall time, ms since 1970. */
  now(): number
}

/** Of one network: an owner's page and a script beside it. Keys have 256 bits; this is against load. */
const rate = { perSecond: 5, burst: 200, maxKeys: 20_000 }
/** Sixteen origins of the longest kind. */
const maxBodyBytes = 8 * 1024
const defaultDays = 30
const listed = 100

const text = v.pipe(v.string(), v.maxLength(1000))
const origins = v.pipe(v.array(text), v.maxLength(maxOrigins))
const audience = v.picklist(audiences)
const newSchema = v.strictObject({ name: text, origins, audience: v.exactOptional(audience) })
const changeSchema = v.strictObject({ name: v.exactOptional(text), origins: v.exactOptional(origins), audience: v.exactOptional(audience) })
const rotateSchema = v.strictObject({ now: v.exactOptional(v.boolean()), of: v.exactOptional(v.picklist(['key', 'ownerKey'])) })

export function projectRoutes({ projects, store, operatorToken, addressOf, now }: ProjectRoutesDeps): Hono {
  const app = new Hono()
  const limiter = new RateLimiter(rate)
  const tokenHash = hashKey(operatorToken)
  const isOperator = (c: Context) => sameHash(tokenHash, hashKey(bearer(c) ?? ''))

  const named = (c: Context): Project => {
    const id = c.req.param('id')
    if (!isProjectId(id)) throw new ManyhandsError('bad-input', 'A project is named p_ and 16 letters or digits.')
    const project = projects.get(id)
    if (!project) throw new ManyhandsError('not-found', 'There is no project of that id.')
    return project
  }
  /** @throws ManyhandsError forbidden, when who asks is neither its owner nor the operator */
  const owned = (c: Context): Project => {
    const project = named(c)
    const key = bearer(c)
    if (key === undefined) throw new ManyhandsError('forbidden', 'This needs the project’s owner key: Authorization: Bearer mo_…')
    if (!isOwnerKey(project, key) && !isOperator(c)) throw new ManyhandsError('forbidden', 'That is not this project’s owner key.')
    return project
  }
  const operated = (c: Context): void => {
    if (!isOperator(c))
      throw new ManyhandsError('forbidden', 'This needs the operator’s token, from operator.token in the server’s data folder.')
  }
  const info = async ({ id, name, audience, revoked }: Project): Promise<ProjectInfo> => ({
    id,
    name,
    audience,
    revoked,
    counters: await store.totals(id),
  })
  const full = async (project: Project): Promise<OwnedProject> => ({
    ...(await info(project)),
    origins: [...project.origins],
    createdAt: project.createdAt,
    keys: goodKeys(project, now()).map(({ until }) => ({ until })),
  })
  const changed = (id: ProjectId, change: (project: Project) => Project) =>
    projects.change(id, (before) => ({ project: change(before) })).then(({ project }) => full(project))

  app.use('*', async (c, next) => {
    const address = addressOf(c)
    const taken = limiter.take(networkPrefix(address) ?? address, 1, now())
    if (!taken.ok)
      throw new ManyhandsError('rate-limited', 'Your network asks too much of projects. Come again in a moment.', {
        retryAfterMs: taken.retryAfterMs,
      })
    if (/m[hot]_[A-Za-z0-9_-]{43}/.test(c.req.url))
      throw new ManyhandsError(
        'bad-input',
        'A key has no place in an address, where logs keep it: send it in the Authorization header, and rotate this one.',
      )
    await next()
  })

  app.post('/', async (c) => {
    operated(c)
    const { name, origins, audience = 'first' } = await body(c, newSchema)
    const { project, key, ownerKey } = await projects.create({ name, origins, audience })
    return json({ id: project.id, key, ownerKey }, 201)
  })
  app.get('/', async (c) => {
    operated(c)
    const page = projects.list(c.req.query('after') ?? '', listed)
    return json({ projects: await Promise.all(page.map(full)) })
  })
  app.get('/:id', async (c) => json(await (bearer(c) === undefined ? info(named(c)) : full(owned(c)))))
  app.get('/:id/days', async (c) => {
    const { id } = owned(c)
    const asked = Number(c.req.query('days') ?? defaultDays)
    if (!Number.isInteger(asked) || asked < 1 || asked > maxDays)
      throw new ManyhandsError('bad-input', `days takes a whole number from 1 to ${maxDays}.`)
    const days = await store.days(id, dayOf(now()) - asked + 1)
    return json({ days: days.map(({ day, counters }) => ({ day: dateOf(day), ...counters })) } satisfies ProjectDays)
  })
  app.patch('/:id', async (c) => {
    const { id } = owned(c)
    const change = await body(c, changeSchema)
    return json(await changed(id, (project) => ({ ...project, ...checkedTerms({ ...project, ...change }) })))
  })
  app.post('/:id/rotate', async (c) => {
    const { id, revoked } = owned(c)
    const { now: atOnce = false, of = 'key' } = await body(c, rotateSchema)
    if (revoked) throw new ManyhandsError('bad-input', 'This project has ended, and with it its keys. Make another one.')
    if (of === 'ownerKey') return json({ ownerKey: (await projects.change(id, withNewOwner)).ownerKey })
    return json({ key: (await projects.change(id, (project) => rotated(project, atOnce, now()))).key })
  })
  app.post('/:id/revoke', async (c) => {
    const { id } = owned(c)
    return json(await changed(id, (project) => ({ ...project, revoked: true, keys: [] })))
  })
  app.all('*', () => {
    throw new ManyhandsError('not-found', 'There is nothing at this address.')
  })
  return app
}

function bearer(c: Context): string | undefined {
  return /^Bearer ([\w-]{1,100})$/.exec(c.req.header('authorization') ?? '')?.[1]
}

/** JSON within the limit, by its schema; no body at all counts as `{}`. @throws ManyhandsError bad-input */
async function body<T extends v.GenericSchema>(c: Context, schema: T): Promise<v.InferOutput<T>> {
  const text = await readBody(c.req.raw)
  let value: unknown
  try {
    value = text === '' ? {} : JSON.parse(text)
  } catch {
    throw new ManyhandsError('bad-input', 'The body of this request is not JSON.')
  }
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  throw new ManyhandsError(
    'bad-input',
    `The request was refused: ${v.getDotPath(parsed.issues[0]) ?? 'body'}: ${parsed.issues[0].message}.`,
  )
}

async function readBody({ body }: Request): Promise<string> {
  if (!body) return ''
  const decoder = new TextDecoder()
  let text = ''
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > maxBodyBytes) throw new ManyhandsError('bad-input', `The body of this request is longer than ${maxBodyBytes} bytes.`)
    text += decoder.decode(part, { stream: true })
  }
  return text + decoder.decode()
}

const json = (value: unknown, status = 200) => Response.json(value, { status, headers: routeHeaders.project })
