/** Projects over a real store: keys, origins, changes by one server seen by another. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { projectKeySchema, ownerKeySchema, projectIdSchema } from '../../protocol/projects.ts'
import * as v from 'valibot'
import { cats, made, site } from '../../testing/projects.ts'
import { openEmbedded, type Embedded } from '../sqlite-store.ts'
import { checkedTerms, foreignOrigin, isOwnerKey, newProject, rotated, rotationMs, withNewOwner } from './project.ts'
import { Projects } from './projects.ts'

let directory: string
let embedded: Embedded
let now: number
const servers: Projects[] = []
const hints: string[] = []
const changes: string[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'manyhands-projects-'))
  embedded = openEmbedded(directory, '')
  now = 1_700_000_000_000
})
afterEach(async () => {
  for (const projects of servers.splice(0)) projects.close()
  hints.splice(0)
  changes.splice(0)
  await embedded.store.close()
  await rm(directory, { recursive: true })
})

/** A server process: its clocks stand where the test puts them. */
async function open(name = 'one'): Promise<Projects> {
  const projects = await Projects.open({
    store: embedded.projects,
    now: () => now,
    uptime: () => now,
    hint: () => hints.push(name),
    changed: (id) => changes.push(`${name} ${id}`),
    log: () => undefined,
  })
  servers.push(projects)
  return projects
}

const terms = { name: 'Cats', origins: [site], audience: 'first' } as const
const refused = (use: () => unknown): string => {
  try {
    use()
  } catch (thrown) {
    const { code, message } = thrown as { code: string; message: string }
    return `${code}: ${message}`
  }
  return 'not refused'
}

describe('a new project', () => {
  it('[PJ1] has an id and two keys of its own, of which only hashes are kept', () => {
    const { project, key, ownerKey } = made()
    expect([v.is(projectIdSchema, project.id), v.is(projectKeySchema, key), v.is(ownerKeySchema, ownerKey)]).toEqual([true, true, true])
    expect(JSON.stringify(project)).not.toContain(key.slice(3))
    expect(JSON.stringify(project)).not.toContain(ownerKey.slice(3))
    expect(isOwnerKey(project, ownerKey)).toBe(true)
    expect(isOwnerKey(project, key)).toBe(false)
    expect(made().project.id).not.toBe(project.id)
  })

  it.each([
    ['no name', { name: ' \n ' }],
    ['a long name', { name: 'x'.repeat(81) }],
    ['no origin', { origins: [] }],
    ['too many origins', { origins: Array.from({ length: 17 }, (_, n) => `https://s${n}.example`) }],
    ['a path', { origins: ['https://cats.example/index.html'] }],
    ['a wildcard', { origins: ['https://*.example'] }],
    ['no scheme', { origins: ['cats.example'] }],
    ['no https', { origins: ['http://cats.example'] }],
    ['null', { origins: ['null'] }],
    ['a script', { origins: ['javascript:alert(1)'] }],
  ])('[PJ1] is refused with %s', (_, change) => {
    expect(refused(() => newProject({ ...terms, ...change }, now))).toMatch(/^bad-input: /)
  })

  it('[PJ1] may be of localhost without https, and of programs', () => {
    const origins = ['http://localhost:5173', 'https://cats.example/', 'server', 'https://cats.example']
    expect(checkedTerms({ ...terms, origins }).origins).toEqual(['http://localhost:5173', 'https://cats.example', 'server'])
  })
})

describe('a key', () => {
  it('[PJ2] is good on the project’s origins alone', async () => {
    const projects = await open()
    const { key, project } = await projects.create(terms)
    expect(projects.enter(key, site).id).toBe(project.id)
    expect(refused(() => projects.enter(key, 'https://thief.example'))).toMatch(/^forbidden: .*not for pages of https:\/\/thief\.example/)
    expect(refused(() => projects.enter(key, 'null'))).toMatch(/^forbidden: /)
    expect(refused(() => projects.enter(key, undefined))).toMatch(/^forbidden: .*pages alone/)
    expect(foreignOrigin({ ...project, origins: ['server'] }, undefined)).toBeUndefined()
    expect(foreignOrigin({ ...project, origins: ['server'] }, site)).toBeDefined()
  })

  it('[PJ2] that nobody was given is refused', async () => {
    const projects = await open()
    const { ownerKey } = await projects.create(terms)
    for (const key of [made().key, ownerKey, ownerKey.replace('mo_', 'mh_')])
      expect(refused(() => projects.enter(key, site))).toMatch(/^forbidden: This is no key/)
  })

  it('[PJ5] that was rotated is good for another day, at every server, and then says that it was replaced', async () => {
    const [here, there] = [await open(), await open('other')]
    const { key, project } = await here.create(terms)
    await there.look()
    const keyed = there.enter(key, site)
    const { key: second } = await here.change(project.id, (p) => rotated(p, false, now))
    await there.look()
    for (const projects of [here, there]) for (const good of [key, second]) expect(projects.enter(good, site).id).toBe(project.id)
    now += rotationMs
    expect(there.refusal(keyed)).toMatchObject({ code: 'forbidden', message: expect.stringContaining('replaced') as string })
    expect(refused(() => there.enter(key, site))).toContain('replaced')
    expect(there.enter(second, site).id).toBe(project.id)
  })

  it('[PJ5] that is rotated at once is good no more', async () => {
    const projects = await open()
    const { key, project } = await projects.create(terms)
    const { key: second } = await projects.change(project.id, (p) => rotated(p, true, now))
    expect(refused(() => projects.enter(key, site))).toContain('replaced')
    expect(projects.enter(second, site).id).toBe(project.id)
  })

  it('[PJ5] of an owner is another one after its rotation', () => {
    const before = made()
    const { project, ownerKey } = withNewOwner(before.project)
    expect([isOwnerKey(project, ownerKey), isOwnerKey(project, before.ownerKey)]).toEqual([true, false])
  })

  it('[PJ5] of a project that has ended says so', async () => {
    const projects = await open()
    const { key, project } = await projects.create(terms)
    const keyed = projects.enter(key, site)
    await projects.change(project.id, (p) => ({ project: { ...p, revoked: true, keys: [] } }))
    expect(projects.refusal(keyed)?.message).toContain('has ended')
    expect(refused(() => projects.enter(key, site))).toContain('has ended')
    expect(projects.audience(project.id)).toBeUndefined()
    expect(projects.frame(project.id)).toBeUndefined()
  })
})

describe('several servers', () => {
  it('know what another has made or changed when they look, and hear that they should', async () => {
    const [here, there] = [await open('here'), await open('there')]
    const { project } = await here.create(terms)
    expect(hints).toEqual(['here'])
    expect(there.get(project.id)).toBeUndefined()
    await there.look()
    expect(there.get(project.id)).toEqual(project)
    await there.change(project.id, (p) => ({ project: { ...p, audience: 'only' } }))
    await here.look()
    expect(here.audience(project.id)).toBe('only')
    expect(changes).toEqual([`there ${project.id}`, `here ${project.id}`])
    expect((await open('new')).audience(project.id)).toBe('only')
  })

  it('never undo each other’s changes', async () => {
    const [here, there] = [await open('here'), await open('there')]
    const { project } = await here.create(terms)
    await there.look()
    await here.change(project.id, (p) => ({ project: { ...p, name: 'Big cats' } }))
    await there.change(project.id, (p) => ({ project: { ...p, audience: 'only' } }))
    expect(there.get(project.id)).toMatchObject({ name: 'Big cats', audience: 'only' })
  })

  it('refuse to change what there is not', async () => {
    const projects = await open()
    await expect(projects.change(cats, (project) => ({ project }))).rejects.toMatchObject({ code: 'not-found' })
  })
})
