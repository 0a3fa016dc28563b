/** The requester's part, through the SDK in this very process: a chat, or a picture of a line to be read. */
import type { LibraryModel } from '../../models/library.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { checkReceipt, type Receipt } from '../../protocol/receipt.ts'
import { connect } from '../../sdk/node.ts'
import { readPhoto } from '../../sdk/ocr/index.ts'
import type { Finish, Network, RunResult, StageInfo } from '../../sdk/types.ts'
import { printedLine } from '../../testing/printed-line.ts'
import type { DemoOptions } from './options.ts'
import type { Steps } from './steps.ts'

export interface Answer {
  readonly text: string
  /** With the end token; empty for a model that makes no tokens. */
  readonly tokenIds: readonly number[]
  readonly finish: Finish
  readonly stages: readonly StageInfo[]
  readonly firstTokenMs: number
  /** Of decoding, without the first token; 0 with fewer than two. */
  readonly tokensPerSecond: number
  /** One for each token after the first. */
  readonly hopMs: readonly number[]
  readonly receipt: Receipt
}

/** No answer of the demo takes this long; what hangs is to be said. */
const answerMs = 600_000

/** Streams the answer to `steps`. @throws ManyhandsError */
export async function ask(server: string, model: LibraryModel, options: DemoOptions, steps: Steps, stop: AbortSignal): Promise<Answer> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(answerMs)])
  const network = await connect({ server, signal })
  try {
    const { task } = model.manifest
    if (task === 'text-generation') return await chat(network, model, options, steps, signal)
    if (task === 'image-to-text') return await readPicture(network, model, steps, signal)
    throw new ManyhandsError(
      'unsupported',
      `The demo has no question for ${model.manifest.name}: it shows chat models and models that read a line of text.`,
    )
  } catch (thrown) {
    if (signal.aborted && !stop.aborted)
      throw new ManyhandsError('timeout', `The answer was not there after ${answerMs / 60_000} minutes.`, { cause: thrown })
    throw thrown
  } finally {
    await network.close()
  }
}

async function chat(network: Network, model: LibraryModel, options: DemoOptions, steps: Steps, signal: AbortSignal): Promise<Answer> {
  const { messages, maxTokens, temperature, seed } = options
  const question = messages.findLast((m) => m.role === 'user')?.content ?? ''
  steps.line(`\n> ${question}\n`)
  const generation = network.generate(model.revision, messages, { maxTokens, temperature, ...(seed === undefined ? {} : { seed }), signal })
  for await (const piece of generation) steps.piece(piece)
  steps.line('\n')
  const { text, tokenIds, finish, stages, timing } = await generation
  const { firstTokenMs, tokensPerSecond, hopMs } = timing
  return { text, tokenIds, finish, stages, firstTokenMs, tokensPerSecond, hopMs, receipt: await checked(generation.receipt) }
}

/** The demo's volunteers hold one model, so the picture is one that needs no other: a single line, the right way up. */
async function readPicture(network: Network, model: LibraryModel, steps: Steps, signal: AbortSignal): Promise<Answer> {
  steps.line('\n> (a picture of a printed line)\n')
  const start = performance.now()
  const { text, runs } = await readPhoto(network, printedLine(), { models: { find: null, turn: null, read: model.revision }, signal })
  const firstTokenMs = performance.now() - start
  const { stages, receipt } = runs[0] as RunResult
  steps.line(`${text}\n`)
  return { text, tokenIds: [], finish: 'stop', stages, firstTokenMs, tokensPerSecond: 0, hopMs: [], receipt: await checked(receipt) }
}

async function checked(coming: Promise<Receipt>): Promise<Receipt> {
  const receipt = await coming
  if (!(await checkReceipt(receipt)))
    throw new ManyhandsError('bad-signature', "The receipt's signature is wrong: the server did not sign it.")
  return receipt
}
