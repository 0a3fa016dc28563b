/**
 * A source model as one onnxruntime-web session in this process, for tests that compare a pipeline with the whole.
 */
import * as ort from 'onnxruntime-web/wasm'
import type { SourceModel } from '../models/source-model.ts'
import { writeModel } from '../models/onnx/write.ts'

export interface WholeDecoder {
  /** Runs these ids after those before; one row of logits for each. */
  run(ids: readonly number[]): Promise<Float32Array[]>
  close(): Promise<void>
}

export async function openDecoder(source: SourceModel): Promise<WholeDecoder> {
  const { decoder } = source
  if (!decoder) throw new Error('not a decoder')
  ort.env.wasm.numThreads = 1
  const externalData = await Promise.all([...source.parts].map(async ([path, part]) => ({ path, data: await part.load() })))
  const session = await ort.InferenceSession.create(writeModel(source.model), {
    externalData,
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
  })
  let held = 0
  let past: Record<string, ort.Tensor> = {}
  for (const { name, role } of source.inputs) {
    if (role === 'past') past[name] = new ort.Tensor('float32', new Float32Array(), [1, decoder.kvHeads, 0, decoder.headDim])
  }
  return {
    async run(ids) {
      const rows = ids.length
      const feeds = {
        input_ids: int64(ids, [1, rows]),
        attention_mask: int64(
          Array.from({ length: held + rows }, () => 1),
          [1, held + rows],
        ),
        position_ids: int64(
          ids.map((_, i) => held + i),
          [1, rows],
        ),
        ...past,
      }
      const outputs = await session.run(feeds)
      past = Object.fromEntries(Object.keys(past).map((name) => [name, outputs[name.replace('past_key_values', 'present')] as ort.Tensor]))
      held += rows
      const logits = (outputs['logits'] as ort.Tensor).data as Float32Array
      return ids.map((_, i) => logits.slice(i * decoder.vocab, (i + 1) * decoder.vocab))
    },
    close: () => session.release(),
  }
}

const int64 = (values: readonly number[], dims: number[]) => new ort.Tensor('int64', BigInt64Array.from(values.map(BigInt)), dims)
