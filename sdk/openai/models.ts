/** `GET …/models` and `GET …/models/NAME`: what this server knows. */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { ModelInfo, Network } from '../types.ts'
import { jsonAnswer, type RequestContext } from './answers.ts'

export async function answerModels(network: Network, context: RequestContext): Promise<Response> {
  const models = await network.models()
  return jsonAnswer({ object: 'list', data: models.map(told) }, context)
}

/** @param model name or revision */
export async function answerModel(network: Network, model: string, context: RequestContext): Promise<Response> {
  const models = await network.models()
  const found = models.find(({ name, revision }) => name === model || revision === model)
  if (!found) throw new ManyhandsError('unknown-model', `This server has no model '${model.slice(0, 100)}'.`)
  return jsonAnswer(told(found), context)
}

const told = ({ name, publication }: ModelInfo) => ({
  id: name,
  object: 'model',
  created: Math.floor(publication.issuedAt / 1000),
  owned_by: publication.publisher,
})
