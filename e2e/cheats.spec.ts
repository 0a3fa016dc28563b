/**
 * Volunteers that cheat, in real browsers: each is found by what it signed, its requester gets the right text, and nobody
 * honest loses anything. The cheats are in testing/cheats; the honest are Node's, which compute the bits that browsers do.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import { connect } from '../sdk/node.ts'
import type { Correction, Donation, Network } from '../sdk/types.ts'
import { donate } from '../sdk/volunteer-node.ts'
import type { CheatName } from '../testing/cheats/index.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { cheating } from './harness/cheating-tab.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { joinAsVolunteer, type VolunteerTab } from './harness/volunteer-tab.ts'

/** A producer, an auditor and a referee for each of two stages. */
const honestCount = 6
const servingMs = 120_000
const settledMs = 120_000
const maxTokens = 40
const prompt = 'Many hands make light work'

let folder: string
let model: LibraryModel
let network: TestNetwork
let asking: Network
let honest: Donation[]
let right: readonly number[]

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-cheats-'))
  model = await openLibrary(folder).addFile(tinyLlama({ layers: 4 }), { name: 'tiny-llama' })
})
test.beforeEach(async () => {
  network = await startNetwork({ model, library: folder, stages: 2, volunteers: [] })
  honest = []
  // One after the other, so that each finds what is lacking.
  for (let i = 0; i < honestCount; i++) {
    const donation = donate({ server: network.url, weightsFolder: join(folder, `volunteer-${i}`), maxMemory: 2 ** 28, threads: 1 })
    honest.push(donation)
    network.onClose(() => donation.stop('now'))
    await phase(donation, 'serving')
  }
  asking = await connect({ server: network.url })
  network.onClose(() => asking.close())
  right = (await asking.generate('tiny-llama', prompt, { maxTokens })).tokenIds
})
test.afterEach(async () => {
  for (const { state } of honest) expect(state.standing?.strikes ?? 0).toBe(0)
  await network?.close()
})
test.afterAll(() => rm(folder, { recursive: true, force: true }))

function phase(donation: Donation, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (donation.state.phase !== wanted) return
      donation.removeEventListener('change', look)
      resolve()
    }
    donation.addEventListener('change', look)
    look()
  })
}

/** The cheat's tab, as the only one that may be asked for its stage; the others of the stage come back with the first token. */
async function alone(tab: VolunteerTab): Promise<{ back: () => void; blocks: readonly [number, number] }> {
  const { blocks } = await tab.state()
  if (!blocks) throw new Error('the cheat holds nothing')
  const others = honest.filter(({ state }) => state.blocks?.[0] === blocks[0])
  for (const donation of others) donation.pause('So that another is asked.')
  await asking.models()
  return { blocks, back: () => others.forEach((donation) => donation.resume()) }
}

const standing = (tab: VolunteerTab) => tab.browser.page.getByTestId('standing')

const computing: readonly CheatName[] = [
  'zeros',
  'stale answer',
  'skipped layer',
  'int8 weights',
  'f16 weights',
  'f16 weights in one layer',
  'f16 cache',
  'short memory',
  'a small error',
  'grinder',
  'false backend',
  'another token',
]

for (const name of computing) {
  test(`what was computed wrongly is found and corrected: ${name}`, async () => {
    if (name === 'another token') {
      // The last stage chooses tokens: it has the fewest holders when the cheat comes.
      const last = honest.find(({ state }) => state.blocks?.[1] === model.manifest.blocks.length) as Donation
      await last.stop('now')
      honest.splice(honest.indexOf(last), 1)
    }
    const tab = await joinAsVolunteer(network.url, cheating(name))
    network.onClose(() => tab.browser.close())
    await tab.serving(servingMs)
    const { back, blocks } = await alone(tab)
    const corrections: Correction[] = []
    const generation = asking.generate('tiny-llama', prompt, {
      maxTokens,
      onProgress: (progress) => progress.phase === 'answer' && back(),
      onCorrection: (correction) => corrections.push(correction),
    })
    const answer = await generation
    expect(answer.stages.map((stage) => stage.blocks[0])).toContain(blocks[0])
    const receipt = await generation.settled
    expect(receipt.status).toBe('corrected')
    const final = corrections.at(-1)?.answer ?? answer
    expect(final.tokenIds).toEqual(right)
    await expect(standing(tab)).toContainText(/differed/i, { timeout: settledMs })
  })
}

for (const name of ['two faces', 'framing'] as const) {
  test(`what was said of the work does not hold, and the answer goes elsewhere: ${name}`, async () => {
    const tab = await joinAsVolunteer(network.url, cheating(name))
    network.onClose(() => tab.browser.close())
    await tab.serving(servingMs)
    const { back } = await alone(tab)
    const generation = asking.generate('tiny-llama', prompt, { maxTokens, onProgress: ({ phase }) => phase === 'answer' && back() })
    const answer = await generation
    expect(answer.tokenIds).toEqual(right)
    if (name === 'framing') await expect(standing(tab)).toContainText(/differed/i, { timeout: settledMs })
  })
}

test('who checks others by copying is found, and whom it checked is not', async () => {
  const tab = await joinAsVolunteer(network.url, cheating('copied sketch'))
  network.onClose(() => tab.browser.close())
  await tab.serving(servingMs)
  const { blocks } = await tab.state()
  const [, ...others] = honest.filter(({ state }) => state.blocks?.[0] === blocks?.[0])
  const found = () =>
    standing(tab)
      .textContent({ timeout: 1 })
      .then((text) => /differed/i.test(text ?? ''))
      .catch(() => false)
  // With the others away when the auditor is drawn it is this one, unless it computed the answer itself; they are back to decide.
  for (let i = 0; i < 20 && !(await found()); i++) {
    for (const donation of others) donation.pause('So that another is asked.')
    await asking.models()
    const generation = asking.generate('tiny-llama', `${prompt} ${i}`, { maxTokens })
    await generation.receipt
    for (const donation of others) donation.resume()
    await generation.settled
  }
  await expect(standing(tab)).toContainText(/differed/i)
})
