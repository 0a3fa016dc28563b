/**
 * One answer over toy stages while stages die, freeze, are replaced and connections break, as a seed says: what the ring's
 * property test runs. The disturbances come at counted messages, so that a seed repeats its run as far as promises allow.
 */
import { deferred } from '../link/deferred.ts'
import { chunkBytes, decodeChunk, type Chunk } from '../protocol/custody.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { PeerId, Revision } from '../protocol/ids.ts'
import type { OddsWanted } from '../protocol/logprobs.ts'
import { tokenBytes } from '../protocol/receipt.ts'
import { unpackTensors, type TensorValue } from '../protocol/tensors.ts'
import { answerLink, promptLink, sessionLinks, type Ticket } from '../protocol/ticket.ts'
import type { Asking } from '../sdk/requester/asking.ts'
import { feedSpecs, readTokens } from '../worker/ring/step-tensors.ts'
import { seededRandom } from './fuzz.ts'
import { Ring } from './ring.ts'
import { ToyEngine, toyAnswer, toyManifest, toyVocab } from './toy-engine.ts'

const revision = '11'.repeat(32) as Revision
const manifest = toyManifest(6)
const pipelines = [
  [0, 6],
  [0, 3, 6],
  [0, 2, 4, 6],
  [0, 1, 3, 4, 6],
]

export interface Disturbed {
  readonly boundaries: readonly number[]
  readonly ids: readonly number[]
  /** What the whole model says. */
  readonly wanted: readonly number[]
  readonly promptRows: number
  readonly ticket: Ticket
  /** Something was done to it when its last token had arrived: a last stage that is gone then takes its last signatures along. */
  readonly disturbedAtEnd: boolean
  /** What was done to it, in order. */
  readonly story: readonly string[]
  /** Every chunk that was countersigned, at once and later on. */
  chunks(): Chunk[]
  stop(): void
}

/** @param odds wanted of each token */
export async function disturbed(seed: number, odds?: OddsWanted): Promise<Disturbed> {
  const upTo = seededRandom(seed)
  const boundaries = pipelines[upTo(pipelines.length)] as readonly number[]
  const stages = boundaries.length - 1
  const prompt = Array.from({ length: 1 + upTo(70) }, () => upTo(90))
  const maxTokens = 1 + upTo(70)
  const engine = (stage: number) => {
    const made = new ToyEngine(manifest, { first: boundaries[stage] as number, end: boundaries[stage + 1] as number })
    // Stages are not all as fast as each other.
    const pauses = upTo(3)
    made.before = async () => {
      for (let i = 0; i < pauses; i++) await new Promise((resolve) => setImmediate(resolve))
    }
    return made
  }
  const ring = await Ring.start(
    Array.from({ length: stages }, (_, i) => engine(i)),
    revision,
  )
  const sampling = upTo(2) === 0 ? { temperature: 0, topP: 1, seed: 0 } : { temperature: 1e-3, topP: 1, seed }
  const ticket = await ring.ticket(boundaries, { revision, maxPositions: 200, maxRows: 1 + upTo(16), sampling })
  const ids: number[] = []
  const asking = await ring.ask(ticket, (step) => {
    const [value] = unpackTensors(step.payload, feedSpecs(manifest))
    ids.push(...readTokens(value as TensorValue, step.rows, toyVocab))
  })
  const story: string[] = []
  const wanted = toyAnswer(prompt, boundaries, maxTokens)
  const plan = disturbances(ring, asking, engine, upTo, story, () => ids.length === wanted.length)
  asking.start(prompt.length, maxTokens, odds)
  ring.sendPrompt(asking, prompt)
  const stalled = deferred<never>()
  const limit = setTimeout(
    () => stalled.reject(new Error(`Seed ${seed} stands still at ${ids.length} tokens: ${story.join(', ')}.`)),
    hangMs,
  )
  try {
    const { signature } = await Promise.race([asking.ended, stalled.promise])
    await asking.checkAnswer(tokenBytes(ids), signature)
  } catch (thrown) {
    ring.stop(new ManyhandsError('closed', 'The run is over.'))
    throw new Error(`Seed ${seed} at ${ids.length} tokens: ${(thrown as Error).message} ${story.join(', ')}.`, { cause: thrown })
  } finally {
    clearTimeout(limit)
    plan.over = true
    ring.onSent = () => undefined
  }
  const disturbedAtEnd = plan.busy || plan.late
  return {
    boundaries,
    ids,
    wanted,
    promptRows: prompt.length,
    ticket: asking.ticket,
    disturbedAtEnd,
    story,
    chunks: () => ring.proofs.map((proof) => decodeChunk(proof.subarray(0, chunkBytes))),
    stop: () => ring.stop(new ManyhandsError('closed', 'The run is over.')),
  }
}

/** A run takes milliseconds; one that stands still for this long never ends. */
const hangMs = 8_000

/** As the server's, for a network of microseconds. */
const sameBreakMs = 50

/** Some messages apart, one thing after the other happens to the pipeline. */
function disturbances(
  ring: Ring,
  asking: Asking,
  engine: (stage: number) => ToyEngine,
  upTo: (n: number) => number,
  story: string[],
  complete: () => boolean,
) {
  const { session, stages } = asking.ticket
  /** Who serves each stage now. */
  const serving = stages.map((_, i) => i)
  const plan = { over: false, busy: false, late: false }
  let left = 1 + upTo(5)
  let countdown = 1 + upTo(120)
  const peer = (at: number): PeerId => (ring.identities[at] as { id: PeerId }).id
  const spare = async (stage: number) => {
    serving[stage] = await ring.join(engine(stage))
  }
  const actions: Record<string, (stage: number) => Promise<unknown>> = {
    kill: async (stage) => {
      ring.kill(serving[stage] as number)
      await spare(stage)
      await ring.reroute(session, serving)
    },
    'kill two': async (stage) => {
      const other = (stage + 1) % stages.length
      for (const s of new Set([stage, other])) ring.kill(serving[s] as number)
      for (const s of new Set([stage, other])) await spare(s)
      await ring.reroute(session, serving)
    },
    'replace by turns': async (stage) => {
      const before = [...serving]
      await spare(stage)
      const first = ring.reroute(session, [...serving])
      await spare((stage + 1) % stages.length)
      const second = ring.reroute(session, [...serving])
      await Promise.all([first, second])
      if (upTo(2) === 0) return
      // And back to those it began with, who have closed it meanwhile.
      serving.splice(0, serving.length, ...before)
      await ring.reroute(session, serving)
    },
    'kill who took over': async (stage) => {
      ring.kill(serving[stage] as number)
      await spare(stage)
      await ring.reroute(session, serving)
      ring.kill(serving[stage] as number)
      await spare(stage)
      await ring.reroute(session, serving)
    },
    again: () => ring.reroute(session, serving, upTo(2) === 0),
    'break a link': async (stage) => {
      ring.breakLink(peer(serving[stage] as number), peer(serving[(stage + 1) % stages.length] as number))
      if (upTo(2) === 0) await ring.reroute(session, serving)
    },
    'break the answer': async () => {
      ring.breakLink(ring.requester.id, asking.host.peer)
      if (upTo(2) === 0) await ring.reroute(session, serving)
    },
    freeze: async (stage) => {
      const frozen = peer(serving[stage] as number)
      const held: (() => void)[] = []
      for (const [ends, channel] of ring.channels) {
        const out = ends.startsWith(frozen)
        if (!out && !ends.endsWith(frozen)) continue
        channel.tamper = (message) => void held.push(() => channel.other?.deliver(message))
      }
      await spare(stage)
      await ring.reroute(session, serving)
      // It thaws in the middle of what goes on without it.
      for (const channel of ring.channels.values()) channel.tamper = (message) => message
      for (const deliver of held) deliver()
    },
  }
  /** Both ends notice a break, and the second's word is of the same. */
  const breaks = new Map<string, { readonly at: number; readonly by: Set<PeerId> }>()
  ring.onLost = (by, lost) => {
    const serves = [ring.requester.id, ...serving.map(peer)]
    if (plan.over || !serves.includes(by) || !serves.includes(lost)) return
    const pair = [by, lost].toSorted().join()
    const at = performance.now()
    const known = breaks.get(pair)
    if (known && at - known.at < sameBreakMs && !known.by.has(by)) return void known.by.add(by)
    breaks.set(pair, { at, by: new Set([by]) })
    story.push('connected again')
    void ring.reroute(session, serving)
  }
  const names = Object.keys(actions)
  ring.onSent = () => {
    countdown -= 1
    if (countdown > 0 || plan.busy || left === 0 || plan.over) return
    left -= 1
    plan.busy = true
    plan.late ||= complete()
    const name = names[upTo(names.length)] as string
    const stage = upTo(stages.length)
    story.push(`${name} ${stage} at ${ring.proofs.length} proofs`)
    // Not from within a send.
    setImmediate(() => {
      void (plan.over ? Promise.resolve() : (actions[name] as (stage: number) => Promise<unknown>)(stage)).finally(() => {
        plan.busy = false
        countdown = 1 + upTo(120)
      })
    })
  }
  return plan
}

/**
 * What a ledger demands of a finished session: on every link chunks without a hole, of those that begin alike the newest; and
 * what the last stage told its two neighbours is the same. Undefined when all is well.
 */
export function custodyFlaw(run: Disturbed): string | undefined {
  if (run.disturbedAtEnd) return undefined
  const { ticket, promptRows, ids } = run
  const byLink = new Map<number, Map<number, Chunk>>()
  for (const chunk of run.chunks()) {
    const link = byLink.get(chunk.link) ?? new Map<number, Chunk>()
    const known = link.get(chunk.firstPosition)
    const newer = !known || chunk.generation > known.generation
    if (newer) link.set(chunk.firstPosition, chunk)
    byLink.set(chunk.link, link)
  }
  const fed = promptRows + ids.length - 1
  for (const link of sessionLinks(ticket)) {
    const token = link > promptLink(ticket) || link === answerLink(ticket)
    const end = token ? promptRows + ids.length : link === promptLink(ticket) ? promptRows : fed
    let at = token ? promptRows : 0
    while (at < end) {
      const chunk = byLink.get(link)?.get(at)
      if (!chunk) return `link ${link} has no chunk at ${at} of ${end}`
      at += chunk.rows
    }
  }
  const ring = byLink.get(0)
  for (const [link, until] of [
    [promptLink(ticket), promptRows],
    [answerLink(ticket), fed],
  ] as const) {
    for (const chunk of byLink.get(link)?.values() ?? []) {
      const other = ring?.get(chunk.firstPosition)
      if (chunk.firstPosition >= until) continue
      if (!other || other.rows !== chunk.rows || Buffer.compare(other.payloadHash, chunk.payloadHash) !== 0)
        return `link ${link} and the ring differ at ${chunk.firstPosition}: ${chunk.rows} and ${other?.rows} rows`
    }
  }
  return undefined
}
