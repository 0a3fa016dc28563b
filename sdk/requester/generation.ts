/**
 * `net.generate`: messages to prompt ids, tokens to text as they come, stop strings, timing, and at the end the check that
 * the last stage signed for what was read.
 */
import type { ChatTokenizer } from '../../models/chat.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { tokenBytes, type Receipt } from '../../protocol/receipt.ts'
import { packTensors, unpackTensors, type TensorValue } from '../../protocol/tensors.ts'
import { feedSpecs, readTokens, writeTokens } from '../../worker/ring/step-tensors.ts'
import type { Finish, Generated, GenerateOptions, Generation, Message } from '../types.ts'
import type { Asking } from './asking.ts'
import type { RequesterNetwork } from './network.ts'
import { StopMatcher } from './stop-strings.ts'
import { TextQueue } from './text-queue.ts'

const defaultMaxTokens = 256
/** Rows of a prompt run: long enough to use the processor well, short enough that the stages overlap. */
const promptRunRows = 16
const maxMessages = 1000
const maxPromptChars = 1_000_000

export class Generating implements Generation {
  readonly #queue = new TextQueue()
  readonly #whole: Promise<Generated>
  readonly #receipt: Promise<Receipt>

  constructor(network: RequesterNetwork, model: string, input: string | readonly Message[], options: GenerateOptions) {
    const answered = generate(network, model, input, options, this.#queue).catch((thrown: unknown) => {
      const error = asError(thrown)
      this.#queue.fail(error)
      throw error
    })
    this.#whole = answered.then(({ generated }) => generated)
    this.#receipt = answered.then(({ receipt }) => receipt)
    // Both are also how the caller may learn of a failure; neither must be.
    this.#whole.catch(() => undefined)
    this.#receipt.catch(() => undefined)
  }

  get receipt(): Promise<Receipt> {
    return this.#receipt
  }

  [Symbol.asyncIterator](): AsyncIterator<string> {
    return this.#queue[Symbol.asyncIterator]()
  }

  // eslint-disable-next-line unicorn/no-thenable -- a Generation is awaited on purpose
  then<A = Generated, B = never>(
    done?: ((value: Generated) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#whole.then(done, failed)
  }
}

async function generate(
  network: RequesterNetwork,
  model: string,
  input: string | readonly Message[],
  options: GenerateOptions,
  queue: TextQueue,
): Promise<{ generated: Generated; receipt: Promise<Receipt> }> {
  const startedAt = performance.now()
  const stops = new StopMatcher(options.stop)
  const sampling = checkSampling(options)
  const revision = await network.revision(model, options.signal)
  const manifest = await network.manifest(revision, options.signal)
  const { decoder, tokenizer: files } = manifest
  if (!decoder || !files) throw new ManyhandsError('bad-input', `${manifest.name} does not generate text. Use run().`)
  const tokenizer = await network.tokenizer(files)
  const promptIds = encode(tokenizer, input)
  const maxTokens = roomFor(promptIds.length, options.maxTokens, manifest)
  options.signal?.throwIfAborted()

  const answer = new AnswerText(tokenizer, stops, queue)
  const arrivals: { at: number; computeMs: number }[] = []
  const onStep = (step: Step) => {
    arrivals.push({ at: performance.now(), computeMs: step.computeMicros / 1000 })
    const [value] = unpackTensors(step.payload, feedSpecs(manifest))
    for (const id of readTokens(value as TensorValue, step.rows, decoder.vocab)) answer.push(id, decoder.eos.includes(id))
    options.onProgress?.({ phase: 'answer', tokens: answer.allIds.length })
    if (stops.stopped) asking.stop()
  }
  const opened = await network.open(revision, promptIds.length + maxTokens, sampling, { feeds: 1, answer: 1 }, onStep, options)
  const asking: Asking = opened.asking
  options.onProgress?.({ phase: 'prompt', promptTokens: promptIds.length })
  asking.start(promptIds.length, maxTokens)
  for (const { from, to } of evenRuns(promptIds.length, Math.min(promptRunRows, asking.ticket.maxRows))) {
    asking.send(from, to - from, packTensors([writeTokens(promptIds.slice(from, to))]))
  }
  await asking.flush()
  const { finish, signature } = await asking.ended
  await asking.checkAnswer(tokenBytes(answer.allIds), signature)
  answer.end()
  queue.finish()
  const generated: Generated = {
    text: answer.text,
    tokenIds: answer.keptIds,
    promptTokens: promptIds.length,
    finish: stops.stopped ? ('stop' satisfies Finish) : finish,
    stages: asking.ticket.stages.map(({ peer, blocks, backend }) => ({ peer, blocks, backend })),
    timing: timing(startedAt, arrivals, asking.ticket.stages.length),
    ticket: asking.ticket,
  }
  return { generated, receipt: opened.receipt }
}

/** Ids as they come, text as it becomes certain, both cut at a stop string. */
class AnswerText {
  /** Every id the last stage sent, which is what it signed. */
  readonly allIds: number[] = []
  /** The ids that the text is made of. */
  readonly keptIds: number[] = []
  text = ''
  readonly #stream: ReturnType<ChatTokenizer['stream']>
  readonly #stops: StopMatcher
  readonly #queue: TextQueue

  constructor(tokenizer: ChatTokenizer, stops: StopMatcher, queue: TextQueue) {
    this.#stream = tokenizer.stream()
    this.#stops = stops
    this.#queue = queue
  }

  push(id: number, isEnd: boolean): void {
    this.allIds.push(id)
    if (this.#stops.stopped) return
    if (!isEnd) this.#add(this.#stream.push(id))
    if (!this.#stops.stopped) this.keptIds.push(id)
  }

  end(): void {
    if (this.#stops.stopped) return
    this.#add(this.#stream.end())
    this.#append(this.#stops.end())
  }

  #add(piece: string): void {
    this.#append(this.#stops.push(piece))
  }

  #append(text: string): void {
    this.text += text
    this.#queue.push(text)
  }
}

function encode(tokenizer: ChatTokenizer, input: string | readonly Message[]): number[] {
  const chars = typeof input === 'string' ? input.length : input.reduce((n, m) => n + m.content.length, 0)
  if (chars > maxPromptChars)
    throw new ManyhandsError('bad-input', `The prompt has ${chars} characters; at most ${maxPromptChars} are taken.`)
  if (typeof input !== 'string' && (input.length === 0 || input.length > maxMessages)) {
    throw new ManyhandsError('bad-input', `A chat takes 1 to ${maxMessages} messages.`)
  }
  const ids = typeof input === 'string' ? tokenizer.encode(input) : tokenizer.encodeChat(input)
  if (ids.length === 0) throw new ManyhandsError('bad-input', 'The prompt is empty.')
  return ids
}

function roomFor(promptTokens: number, wanted: number | undefined, { name, decoder }: Manifest): number {
  const context = decoder?.context ?? 0
  if (promptTokens >= context)
    throw new ManyhandsError(
      'context-overflow',
      `The prompt has ${promptTokens} tokens; ${name} holds ${context} with its answer. Shorten it.`,
    )
  const most = context - promptTokens
  if (wanted === undefined) return Math.min(defaultMaxTokens, most)
  if (!Number.isInteger(wanted) || wanted < 1) throw new ManyhandsError('bad-input', 'maxTokens takes a whole number of at least 1.')
  return Math.min(wanted, most)
}

function randomSeed(): number {
  const [seed = 0] = crypto.getRandomValues(new Uint32Array(1))
  return seed
}

function checkSampling({ temperature = 0, topP = 1, seed }: GenerateOptions) {
  if (!(temperature >= 0 && temperature <= 10)) throw new ManyhandsError('bad-input', 'temperature takes a number from 0 to 10.')
  if (!(topP > 0 && topP <= 1)) throw new ManyhandsError('bad-input', 'topP takes a number above 0 and up to 1.')
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new ManyhandsError('bad-input', 'seed takes a whole number from 0 to 4294967295.')
  }
  return { temperature, topP, seed: seed ?? randomSeed() }
}

/** Runs of nearly equal length, so that no row is left to run alone (a run of one row rounds differently). */
export function evenRuns(length: number, most: number): { from: number; to: number }[] {
  const runs = Math.ceil(length / most)
  return Array.from({ length: runs }, (_, i) => ({ from: Math.floor((i * length) / runs), to: Math.floor(((i + 1) * length) / runs) }))
}

function timing(startedAt: number, arrivals: readonly { at: number; computeMs: number }[], links: number) {
  const first = arrivals[0]
  const last = arrivals.at(-1)
  const decodeMs = first && last ? last.at - first.at : 0
  const hopMs = arrivals.slice(1).map(({ at, computeMs }, i) => Math.max(0, at - (arrivals[i]?.at ?? at) - computeMs) / links)
  return {
    firstTokenMs: first ? first.at - startedAt : 0,
    tokensPerSecond: decodeMs > 0 ? ((arrivals.length - 1) * 1000) / decodeMs : 0,
    hopMs,
  }
}
