/** The server's audits against the shipped shadows: real stages over channels in memory, and what they make of each other's work. */
import { afterEach, describe, expect, it } from 'vitest'
import { deferred } from '../link/deferred.ts'
import { chunkBytes, decodeChunk, type Chunk } from '../protocol/custody.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { Revision } from '../protocol/ids.ts'
import type { ServerMessage } from '../protocol/server-messages.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { Ring } from '../testing/ring.ts'
import { ToyEngine, toyAnswer, toyManifest } from '../testing/toy-engine.ts'
import type { StepInput, StepOutput } from '../worker/engine/engine.ts'
import { float32View } from '../worker/ring/step-tensors.ts'
import type { Work } from './audit-case.ts'
import { stageJobs, type Answered, type StageJob } from './audit-plan.ts'
import { signedHashes } from './audit-run.ts'
import { AuditRuns, type RunResult } from './audit-runs.ts'
import type { Serving } from './routing.ts'

const revision = '11'.repeat(32) as Revision
const boundaries = [0, 2, 4, 6]
const manifest = toyManifest(6)
const tokens = 120
const prompt = longAnswered()
let ring: Ring | undefined

afterEach(() => ring?.stop(new ManyhandsError('closed', 'The test is over.')))

/** A prompt whose answer has `tokens` tokens. */
function longAnswered(): number[] {
  for (let n = 0; ; n++) {
    const candidate = Array.from({ length: 45 }, (_, i) => (i * 7 + 3 + n) % 90)
    if (toyAnswer(candidate, boundaries, tokens).length === tokens) return candidate
  }
}

const engine = (stage: number, of = ToyEngine) =>
  new of(manifest, { first: boundaries[stage] as number, end: boundaries[stage + 1] as number })

/** Adds a little to one number of what it gives in the middle of an answer. */
class Cheat extends ToyEngine {
  override async run(step: StepInput): Promise<StepOutput> {
    const output = await super.run(step)
    const [first] = output.outputs
    if (first && step.position > 60) float32View(first.bytes)[0] = (float32View(first.bytes)[0] as number) + 1
    return output
  }
}

/** What a ledger knows of the session. */
function answered(ring: Ring, tickets: readonly Ticket[]): Answered {
  const chunks = ring.proofs.map((proof) => decodeChunk(proof.subarray(0, chunkBytes)))
  return {
    tickets,
    chunks: (generation, link): Chunk[] =>
      chunks
        .filter((c) => c.session === tickets[0]?.session && c.generation === generation && c.link === link)
        .sort((a, b) => a.seq - b.seq),
  }
}

/** Has a volunteer do a stage's work again, as the server orders it. */
async function examine(ring: Ring, job: StageJob, auditor: number, source: number): Promise<RunResult> {
  const result = deferred<RunResult>()
  const node = ring.nodes[auditor]
  const runs: AuditRuns = new AuditRuns({
    identity: ring.server,
    send: (_, message: ServerMessage) => {
      if (message.t === 'shadow') void node?.shadows.start(message.ticket)
      if (message.t === 'reveal') node?.shadows.reveal(message)
      if (message.t === 'shadow-closed') node?.shadows.close(message.shadow)
      return true
    },
    online: () => true,
    now: () => Date.now(),
    uptime: () => performance.now(),
    random: () => 0.5,
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
    failed: (thrown) => result.reject(thrown as Error),
  })
  const { id: peer, publicKey: key } = ring.identities[auditor] as Ring['identities'][number]
  const { id, publicKey } = ring.identities[source] as Ring['identities'][number]
  const serving = { peer, key, power: 1, holding: { ready: { backend: 'wasm', adapter: '', msPerRow: 1 } } } as unknown as Serving
  const producer = { peer: job.peer, wasm: true, backendKey: '', outputs: signedHashes(job) } as unknown as Work
  runs.start({ job, producer }, serving, 'proven', { peer: id, key: publicKey }, (r) => result.resolve(r))
  const shadow = await ring.heard((m) => 'shadow' in m && runs.size > 0 && !seen.has(m.shadow))
  if ('shadow' in shadow) seen.add(shadow.shadow)
  if (shadow.t === 'audited') runs.audited(peer, shadow)
  if (shadow.t === 'unaudited') runs.unaudited(peer, shadow)
  return result.promise
}

const seen = new Set<string>()

const idle = (ring: Ring) => expect.poll(() => ring.nodes.reduce((sum, node) => sum + node.stats().sessions, 0)).toBe(0)

/** Whose committed outputs are those that the stage signed. */
async function agreements(ring: Ring, tickets: readonly Ticket[], auditors: readonly number[]): Promise<boolean[]> {
  const found: boolean[] = []
  for (const job of await stageJobs(answered(ring, tickets))) {
    const source = ring.identities.findIndex(({ id }) => id === job.sources[0]?.peer)
    const result = await examine(ring, job, auditors[boundaries.indexOf(job.first)] as number, source)
    found.push(result.t === 'work' && JSON.stringify(result.work.outputs) === JSON.stringify(signedHashes(job)))
  }
  return found
}

describe('[AU] what the server orders and shadows do', () => {
  it('agrees for every stage of an honest answer', async () => {
    ring = await Ring.start([engine(0), engine(1), engine(2), engine(0), engine(1), engine(2)], revision)
    const ticket = await ring.ticket(boundaries, { revision })
    await ring.generate(ticket, engine(2), prompt, tokens)
    await idle(ring)
    expect(await agreements(ring, [ticket], [3, 4, 5])).toEqual([true, true, true])
  })

  it('does not for a stage that cheats, and for that one alone', async () => {
    ring = await Ring.start([engine(0), engine(1, Cheat), engine(2), engine(0), engine(1), engine(2)], revision)
    const ticket = await ring.ticket(boundaries, { revision })
    await ring.generate(ticket, engine(2), prompt, 30)
    await idle(ring)
    expect(await agreements(ring, [ticket], [3, 4, 5])).toEqual([true, false, true])
  })

  for (const stage of [0, 1, 2]) {
    it(`agrees for the replacement too, and for whom it replaced as far as that can be asked: stage ${stage}`, async () => {
      ring = await Ring.start([engine(0), engine(1), engine(2), engine(0), engine(1), engine(2), engine(stage)], revision)
      const ticket = await ring.ticket(boundaries, { revision })
      const far = deferred<void>()
      let count = 0
      const asking = await ring.ask(ticket, () => {
        count += 1
        if (count === 50) far.resolve()
      })
      asking.start(prompt.length, tokens)
      ring.sendPrompt(asking, prompt)
      await far.promise
      // Frozen, not gone: what it had is still there to be asked for.
      const next = await ring.reroute(
        ticket.session,
        [0, 1, 2].map((i) => (i === stage ? 6 : i)),
      )
      await asking.ended
      await idle(ring)
      const found = await agreements(ring, [ticket, next], [3, 4, 5])
      expect(found).toEqual([true, true, true, true])
    })
  }
})
