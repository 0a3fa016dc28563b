/**
 * Projects, with volunteers and requesters on sites of their own in a real browser: whose requests are served by whom, what a key is
 * good for and where, and what is left when a project ends.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright'
import { openLibrary } from '../models/library.ts'
import { runProject } from '../scripts/project/command.ts'
import type { connect } from '../sdk/index.ts'
import type { Donation } from '../sdk/types.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { otherSite, type OtherSite } from './harness/other-site.ts'
import { createProject, type MadeProject } from './harness/project.ts'

/** What the pages of the sites have. */
interface Loaded {
  readonly connect: typeof connect
  readonly donate: (options: { server: string; project?: string; maxMemory: number }) => Donation
  donation: Donation
}

interface Answered {
  /** Peers of its stages. */
  readonly peers?: readonly string[]
  readonly code?: string
  readonly message?: string
}

const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
const model = 'tiny'
/** Loading, checking and joining, on a machine that does other things too. */
const joinMs = 120_000

let folder: string
let network: TestNetwork
let visitor: BrowserProcess
let cats: MadeProject
let dogs: MadeProject
/** Of the cats: where their key is good. The others are anybody's. */
let own: OtherSite
const sites: OtherSite[] = []
/** Volunteers for the cats first, for the dogs alone, and for everybody: each on a site of its own. */
let [forCats, forDogs, forAll] = ['', '', '']
const giving: Page[] = []

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-projects-'))
  const added = await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name: model })
  network = await startNetwork({ model: added, library: folder, stages: 1, volunteers: [] })
  visitor = await startBrowser()
  own = await site()
  cats = await createProject(network, { name: 'Cats', origins: [own.origin] })
  dogs = await createProject(network, { name: 'Dogs', origins: [own.origin], audience: 'only' })
  forCats = await give(cats.id)
  forDogs = await give(dogs.id)
  forAll = await give()
})
test.afterAll(async () => {
  giving.splice(0)
  await visitor?.close()
  for (const other of sites.splice(0)) await other.close()
  await network?.close()
  await rm(folder, { recursive: true, force: true })
})

async function site(): Promise<OtherSite> {
  const sdk = `${network.url}/sdk/${version}`
  const made = await otherSite({
    '/index.html': `<!doctype html><meta charset="utf-8"><title>A site</title><script type="module">
      import { connect } from '${sdk}/manyhands.js'
      import { donate } from '${sdk}/volunteer.js'
      Object.assign(globalThis, { connect, donate })
      document.title = 'Ready'
    </script>`,
  })
  sites.push(made)
  return made
}

async function open(at: OtherSite): Promise<Page> {
  const page = await visitor.context.newPage()
  await page.goto(at.origin)
  await expect(page).toHaveTitle('Ready', { timeout: joinMs })
  return page
}

/** A tab that gives, once it serves: its peer. */
async function give(project?: string): Promise<string> {
  const page = await open(await site())
  giving.push(page)
  await page.evaluate(
    ([server, project]) => {
      const loaded = globalThis as unknown as Loaded
      loaded.donation = loaded.donate({ server, maxMemory: 2 ** 28, ...(project ? { project } : {}) })
    },
    [network.url, project ?? ''] as const,
  )
  await expect.poll(() => stateOf(page).then((state) => `${state.phase}: ${state.reason}`), { timeout: joinMs }).toMatch(/^serving/)
  return (await stateOf(page)).peer
}

const stateOf = (page: Page) => page.evaluate(() => ({ ...(globalThis as unknown as Loaded).donation.state }))

/** A short answer for a page, or why there is none. */
async function ask(page: Page, apiKey?: string): Promise<Answered> {
  return page.evaluate(
    async ([server, model, apiKey]) => {
      try {
        const net = await (globalThis as unknown as Loaded).connect({ server, ...(apiKey ? { apiKey } : {}) })
        try {
          // On a machine that is busy with other tests a stage may seem stuck, and be replaced: that is not what is looked at here.
          for (let left = 3; ; left--) {
            const { ticket } = await net.generate(model, 'Once upon a time', { maxTokens: 4 })
            if (ticket.generation === 0 || left === 0) return { peers: ticket.stages.map((stage) => stage.peer) }
          }
        } finally {
          await net.close()
        }
      } catch (error) {
        return { code: (error as { code: string }).code, message: (error as Error).message }
      }
    },
    [network.url, model, apiKey ?? ''] as const,
  )
}

/** The command, as the operator runs it. */
async function project(...args: string[]): Promise<string> {
  let said = ''
  const told = (text: string) => void (said += text)
  const code = await runProject([...args, '--server', network.url, '--data', network.data], {}, { out: told, err: told })
  expect(said).not.toBe('')
  expect(code).toBe(0)
  return said
}

test('[PJ3] a project’s requests go to its own volunteers, everybody else’s to those who give to everybody', async () => {
  const page = await open(own)
  for (let i = 0; i < 3; i++) {
    expect(await ask(page, cats.key)).toEqual({ peers: [forCats] })
    expect(await ask(page)).toEqual({ peers: [forAll] })
  }
  expect(await ask(page, dogs.key)).toEqual({ peers: [forDogs] })
})

test('[PJ2] a key is of no use on another site, nor outside of browsers', async () => {
  const thief = await site()
  const refused = await ask(await open(thief), cats.key)
  expect(refused).toMatchObject({ code: 'forbidden' })
  expect(refused.message).toContain(`not for pages of ${thief.origin}`)
  const { connect } = await import('../sdk/node.ts')
  await expect(connect({ server: network.url, apiKey: cats.key })).rejects.toMatchObject({ code: 'forbidden' })
  await project('origins', cats.id, own.origin, 'server')
  const net = await connect({ server: network.url, apiKey: cats.key })
  expect((await net.generate(model, 'Once upon a time', { maxTokens: 2 })).stages.map((stage) => stage.peer)).toEqual([forCats])
  await net.close()
})

test('[PJ3] where nobody else is left, the public has the cats’ volunteer, and never the dogs’', async () => {
  const page = await open(own)
  const [catTab, , allTab] = giving as [Page, Page, Page]
  await allTab.evaluate(() => (globalThis as unknown as Loaded).donation.stop('now'))
  expect(await ask(page)).toEqual({ peers: [forCats] })
  await catTab.evaluate(() => (globalThis as unknown as Loaded).donation.pause())
  const asked = () => ask(page).then((answer) => answer.code)
  await expect.poll(asked, { timeout: joinMs }).toBe('no-volunteers')
  expect(await ask(page, dogs.key)).toEqual({ peers: [forDogs] })
  expect(await ask(page, cats.key)).toMatchObject({ code: 'no-volunteers' })
  await catTab.evaluate(() => (globalThis as unknown as Loaded).donation.resume())
  await expect.poll(() => ask(page, cats.key), { timeout: joinMs }).toEqual({ peers: [forCats] })
})

test('[PJ6] [PJ7] what was given and asked is counted, for the owner to see', async () => {
  const counters = async () => (JSON.parse(await project('show', cats.id, '--json')) as { counters: Record<string, number> }).counters
  // A receipt follows its answer; consents are written every few seconds.
  await expect.poll(() => counters().then((c) => c['requests']), { timeout: joinMs }).toBeGreaterThanOrEqual(5)
  await expect.poll(() => counters().then((c) => c['consents']), { timeout: joinMs }).toBe(1)
  expect((await counters())['byAudience']).toBeGreaterThanOrEqual(5)
  expect((await counters())['rows']).toBeGreaterThan(0)
  expect(await project('days', cats.id)).toMatch(/\d{4}-\d\d-\d\d +0 +1 +\d+ +\d+ +\d+/)
})

test('[PJ5] a key is replaced, and a project ends, while pages have it open', async () => {
  const page = await open(own)
  await page.evaluate(
    async ([server, apiKey]) => {
      const loaded = globalThis as unknown as Loaded & { net: Awaited<ReturnType<Loaded['connect']>> }
      loaded.net = await loaded.connect({ server, apiKey })
    },
    [network.url, cats.key] as const,
  )
  const askOpen = () =>
    page.evaluate(async (model) => {
      try {
        const { net } = globalThis as unknown as { net: Awaited<ReturnType<Loaded['connect']>> }
        return (await net.generate(model, 'Once upon a time', { maxTokens: 2 })).finish
      } catch (error) {
        return (error as Error).message
      }
    }, model)
  expect(await askOpen()).toBe('length')
  const key = /mh_[\w-]{43}/.exec(await project('rotate', cats.id, '--now'))?.[0] as string
  expect(await askOpen()).toContain('was replaced')
  expect(await ask(page, cats.key)).toMatchObject({ code: 'forbidden' })
  expect(await ask(page, key)).toEqual({ peers: [forCats] })

  await project('revoke', cats.id)
  expect(await ask(page, key)).toMatchObject({ code: 'forbidden', message: 'The project Cats has ended.' })
  const catTab = giving[0] as Page
  await expect.poll(() => stateOf(catTab).then((state) => state.reason), { timeout: joinMs }).toContain('has ended here')
  expect((await stateOf(catTab)).phase).toBe('waiting')
})
