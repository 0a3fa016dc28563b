/** A sentence encoder of the network as the AI SDK's embedding model. */
import {
  UnsupportedFunctionalityError,
  type EmbeddingModelV4,
  type EmbeddingModelV4CallOptions,
  type EmbeddingModelV4Result,
} from '@ai-sdk/provider'
import { maxInputs } from '../openai/bounds.ts'
import type { Network } from '../types.ts'
import { failure, providerName } from './failures.ts'

export class ManyhandsEmbeddingModel implements EmbeddingModelV4 {
  readonly specificationVersion = 'v4'
  readonly provider = providerName
  readonly modelId: string
  readonly maxEmbeddingsPerCall = maxInputs
  readonly supportsParallelCalls = true
  readonly #network: Network | PromiseLike<Network>

  constructor(network: Network | PromiseLike<Network>, modelId: string) {
    this.#network = network
    this.modelId = modelId
  }

  /** A text that is longer than the model reads is refused: half of it would be another text's vector. */
  async doEmbed({ values, dimensions, abortSignal }: EmbeddingModelV4CallOptions): Promise<EmbeddingModelV4Result> {
    try {
      const network = await this.#network
      const options = { tooLong: 'refuse' as const, ...(abortSignal ? { signal: abortSignal } : {}) }
      const { embeddings, promptTokens } = await network.embed(this.modelId, values, options)
      const width = embeddings[0]?.length
      if (dimensions !== undefined && dimensions !== width)
        throw new UnsupportedFunctionalityError({ functionality: 'dimensions', message: `${this.modelId} makes vectors of ${width}.` })
      return { embeddings: embeddings.map((vector) => [...vector]), usage: { tokens: promptTokens }, warnings: [] }
    } catch (thrown) {
      if (UnsupportedFunctionalityError.isInstance(thrown)) throw thrown
      throw failure(thrown, this.modelId, 'embeddingModel', abortSignal)
    }
  }
}
