/** `POST …/embeddings`: texts to vectors, as numbers or as base64 of their bytes (f32, little-endian). */
import { toBase64 } from '../../protocol/base64.ts'
import type { Network } from '../types.ts'
import { jsonAnswer, type RequestContext } from './answers.ts'
import { refused } from './api-error.ts'
import { maxInputs } from './bounds.ts'
import { Fields } from './fields.ts'

export async function answerEmbeddings(network: Network, body: unknown, context: RequestContext): Promise<Response> {
  const fields = new Fields(body)
  const model = fields.needed('model', fields.text('model'))
  const inputs = readInputs(fields)
  const format = fields.one('encoding_format', ['float', 'base64']) ?? 'float'
  const dimensions = fields.whole('dimensions', 1, Number.MAX_SAFE_INTEGER)
  fields.harmless('user')
  fields.end()
  // A text that does not fit is an error here, as it is at OpenAI.
  const { embeddings, promptTokens } = await network.embed(model, inputs, { signal: context.signal, tooLong: 'refuse' })
  const width = embeddings[0]?.length
  if (dimensions !== undefined && dimensions !== width)
    throw refused(`'dimensions' can't be kept: ${model} makes vectors of ${width}.`, 'dimensions', 'unsupported_value')
  return jsonAnswer(
    {
      object: 'list',
      data: embeddings.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: format === 'float' ? [...vector] : asBase64(vector),
      })),
      model,
      usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    },
    context,
  )
}

function readInputs(fields: Fields): readonly string[] {
  const input = fields.needed('input', fields.any('input'))
  const inputs: readonly unknown[] = Array.isArray(input) ? input : [input]
  if (inputs.some((one) => typeof one === 'number' || Array.isArray(one)))
    throw refused("'input' can't be token ids: they are the model's own. Give its text.", 'input', 'unsupported_value')
  if (inputs.length === 0 || inputs.length > maxInputs || !inputs.every((one) => typeof one === 'string' && one !== ''))
    throw refused(`'input' takes a text that is not empty, or a list of 1 to ${maxInputs} of them.`, 'input', 'invalid_value')
  return inputs as readonly string[]
}

function asBase64(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(4 * vector.length))
  vector.forEach((x, i) => view.setFloat32(4 * i, x, true))
  return toBase64(new Uint8Array(view.buffer))
}
