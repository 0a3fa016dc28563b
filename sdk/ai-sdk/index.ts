/**
 * `manyhands/ai-sdk`: a network as a provider of the AI SDK, with language and embedding models. Written against version 4 of its
 * specification, which `ai` has from version 7 on.
 */
import { NoSuchModelError, type EmbeddingModelV4, type LanguageModelV4, type ProviderV4 } from '@ai-sdk/provider'
import type { Network } from '../types.ts'
import { ManyhandsEmbeddingModel } from './embedding-model.ts'
import { ManyhandsLanguageModel } from './language-model.ts'

export interface ManyhandsProviderOptions {
  /** What `connect` gives, awaited or not. It stays the caller's to close. */
  readonly network: Network | PromiseLike<Network>
}

/** Called with a model's name or revision it is {@link languageModel}. */
export interface ManyhandsProvider extends ProviderV4 {
  (modelId: string): LanguageModelV4
  languageModel(modelId: string): LanguageModelV4
  embeddingModel(modelId: string): EmbeddingModelV4
  /** @throws NoSuchModelError */
  imageModel(modelId: string): never
}

/** `const manyhands = createManyhands({ network: connect({ server }) })`, then `generateText({ model: manyhands('smollm2-135m-instruct'), … })`. */
export function createManyhands({ network }: ManyhandsProviderOptions): ManyhandsProvider {
  const languageModel = (modelId: string) => new ManyhandsLanguageModel(network, modelId)
  return Object.assign((modelId: string) => languageModel(modelId), {
    specificationVersion: 'v4' as const,
    languageModel,
    embeddingModel: (modelId: string) => new ManyhandsEmbeddingModel(network, modelId),
    imageModel: (modelId: string): never => {
      throw new NoSuchModelError({ modelId, modelType: 'imageModel' })
    },
  })
}
