/** A model of the network as the AI SDK's language model: an answer whole, or as a stream of parts. */
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4FinishReason,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
  LanguageModelV4StreamResult,
  LanguageModelV4Usage,
} from '@ai-sdk/provider'
import { randomId } from '../openai/answers.ts'
import { begunStream } from '../openai/begun-stream.ts'
import { streamedChoices, wholeChoices, type Ask } from '../openai/choices.ts'
import { finishOf } from '../openai/told.ts'
import type { Generated, Network } from '../types.ts'
import { readCall, type Question } from './call-options.ts'
import { failure, providerName } from './failures.ts'

export class ManyhandsLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4'
  readonly provider = providerName
  readonly modelId: string
  /** Files are not taken, by address neither. */
  readonly supportedUrls = {}
  readonly #network: Network | PromiseLike<Network>

  constructor(network: Network | PromiseLike<Network>, modelId: string) {
    this.#network = network
    this.modelId = modelId
  }

  async doGenerate(call: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const question = readCall(call)
    try {
      const [generated] = await wholeChoices(1, await this.#ask(question), signalOf(call))
      return {
        content: [{ type: 'text', text: (generated as Generated).text }],
        ...ended(generated as Generated),
        response: this.#response(),
        warnings: question.warnings,
      }
    } catch (thrown) {
      throw failure(thrown, this.modelId, 'languageModel', call.abortSignal)
    }
  }

  /** What fails before the first piece of text is thrown, so that it can be tried again; what fails later is a part of the stream. */
  async doStream(call: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const question = readCall(call)
    const stop = new AbortController()
    const { abortSignal } = call
    const onAbort = () => stop.abort(abortSignal?.reason)
    abortSignal?.addEventListener('abort', onAbort, { once: true })
    if (abortSignal?.aborted) onAbort()
    const failed = (thrown: unknown) => failure(thrown, this.modelId, 'languageModel', abortSignal)
    try {
      const parts = this.#parts(await this.#ask(question), question, stop.signal, failed)
      const stream = await begunStream(parts, { failed, cancelled: () => stop.abort() })
      return { stream }
    } catch (thrown) {
      throw failed(thrown)
    }
  }

  async *#parts(
    ask: Ask,
    { warnings }: Question,
    signal: AbortSignal,
    failed: (thrown: unknown) => unknown,
  ): AsyncGenerator<LanguageModelV4StreamPart> {
    const id = '0'
    let begun = false
    try {
      for await (const news of streamedChoices(1, ask, signal)) {
        if (!begun) {
          yield { type: 'stream-start', warnings }
          yield { type: 'response-metadata', ...this.#response() }
          yield { type: 'text-start', id }
        }
        begun = true
        if ('piece' in news) yield { type: 'text-delta', id, delta: news.piece.text }
        else {
          yield { type: 'text-end', id }
          yield { type: 'finish', ...ended(news.done) }
        }
      }
    } catch (thrown) {
      if (!begun || signal.aborted) throw thrown
      yield { type: 'error', error: failed(thrown) }
      yield { type: 'finish', finishReason: { unified: 'error', raw: undefined }, usage: usageOf(undefined) }
    }
  }

  async #ask({ messages, options }: Question): Promise<Ask> {
    const network = await this.#network
    return (_, terms) => network.generate(this.modelId, messages, { ...options, ...terms })
  }

  #response() {
    return { id: randomId('mh-'), timestamp: new Date(), modelId: this.modelId }
  }
}

const signalOf = ({ abortSignal }: LanguageModelV4CallOptions): AbortSignal => abortSignal ?? new AbortController().signal

function ended(generated: Generated) {
  const unified = finishOf(generated)
  const finishReason: LanguageModelV4FinishReason = { unified, raw: generated.finish }
  const { session, revision } = generated.ticket
  // With the session anybody gets the receipts.
  const providerMetadata = { [providerName]: { session, revision, corrected: generated.corrected } }
  return { finishReason, usage: usageOf(generated), providerMetadata }
}

function usageOf(generated: Generated | undefined): LanguageModelV4Usage {
  const { promptTokens, tokenIds } = generated ?? {}
  return {
    inputTokens: { total: promptTokens, noCache: promptTokens, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: tokenIds?.length, text: tokenIds?.length, reasoning: undefined },
  }
}
