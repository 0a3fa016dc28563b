/**
 * `net.run`: one pass of any ONNX model. The feeds are checked against the manifest before anything is sent; the results are
 * onnxruntime tensors by output name.
 */
import { Tensor } from 'onnxruntime-common'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import {
  checkShape,
  dtypeSize,
  elementCount,
  packTensors,
  unpackTensors,
  type DType,
  type TensorSpec,
  type TensorValue,
} from '../../protocol/tensors.ts'
import { feedSpecs } from '../../worker/ring/step-tensors.ts'
import type { CallOptions, RunResult } from '../types.ts'
import type { RequesterNetwork } from './network.ts'

export async function runModel(
  network: RequesterNetwork,
  model: string,
  feeds: Readonly<Record<string, Tensor>>,
  options: CallOptions,
): Promise<RunResult> {
  const revision = await network.revision(model, options.signal)
  const manifest = await network.manifest(revision, options.signal)
  if (manifest.decoder) throw new ManyhandsError('bad-input', `${manifest.name} generates text. Use generate().`)
  const payload = packTensors(readFeeds(manifest, feeds))
  options.signal?.throwIfAborted()
  const results = resultSpecs(manifest)
  let answer: Uint8Array | undefined
  const tensors = { feeds: feedSpecs(manifest).length, answer: results.length }
  const { asking, receipt } = await network.open(revision, 1, null, tensors, (step) => (answer = step.payload), options)
  asking.start(1, 0)
  asking.send(0, 1, payload)
  await asking.flush()
  const { signature } = await asking.ended
  if (!answer) throw new ManyhandsError('peer-lost', 'The session ended without a result.')
  await asking.checkAnswer(answer, signature)
  const values = unpackTensors(answer, results)
  return {
    outputs: Object.fromEntries(results.map((spec, i) => [spec.name, toTensor(values[i] as TensorValue)])),
    stages: asking.ticket.stages.map(({ peer, blocks, backend }) => ({ peer, blocks, backend })),
    receipt,
  }
}

/** The model's results, in the order they travel in. */
const resultSpecs = (manifest: Manifest): TensorSpec[] => manifest.outputs.filter((o) => o.role === 'result')

/** @throws ManyhandsError bad-input naming the tensor and what it should be */
function readFeeds(manifest: Manifest, feeds: Readonly<Record<string, Tensor>>): TensorValue[] {
  const specs = feedSpecs(manifest)
  const unknown = Object.keys(feeds).find((name) => !specs.some((s) => s.name === name))
  if (unknown !== undefined)
    throw new ManyhandsError('bad-input', `${manifest.name} has no input '${unknown}'. It takes: ${specs.map((s) => s.name).join(', ')}.`)
  return specs.map((spec) => {
    const feed = feeds[spec.name]
    if (!feed) throw new ManyhandsError('bad-input', `${manifest.name} needs the input '${spec.name}'.`)
    if (feed.type !== spec.dtype) throw new ManyhandsError('bad-input', `'${spec.name}' is ${spec.dtype}, not ${feed.type}.`)
    if (!ArrayBuffer.isView(feed.data)) throw new ManyhandsError('bad-input', `'${spec.name}' holds no numbers.`)
    try {
      checkShape(spec, feed.dims)
    } catch {
      throw new ManyhandsError('bad-input', `'${spec.name}' has shape [${feed.dims.join(', ')}]; it should be [${spec.shape.join(', ')}].`)
    }
    if (feed.data instanceof Float32Array && feed.data.some((x) => x - x !== 0)) {
      throw new ManyhandsError('not-finite', `'${spec.name}' holds a value that is not a finite number.`)
    }
    const bytes = new Uint8Array(feed.data.buffer, feed.data.byteOffset, feed.data.byteLength)
    if (bytes.length !== elementCount(feed.dims) * dtypeSize[spec.dtype])
      throw new ManyhandsError('bad-input', `'${spec.name}' holds as many bytes as its shape does not say.`)
    return { dtype: spec.dtype, dims: feed.dims, bytes }
  })
}

const arrays: Partial<Record<DType, (bytes: Uint8Array<ArrayBuffer>) => Tensor['data']>> = {
  float32: (b) => new Float32Array(b.buffer),
  float64: (b) => new Float64Array(b.buffer),
  int64: (b) => new BigInt64Array(b.buffer),
  uint64: (b) => new BigUint64Array(b.buffer),
  int32: (b) => new Int32Array(b.buffer),
  uint32: (b) => new Uint32Array(b.buffer),
  int16: (b) => new Int16Array(b.buffer),
  uint16: (b) => new Uint16Array(b.buffer),
  int8: (b) => new Int8Array(b.buffer),
  uint8: (b) => b,
  bool: (b) => b,
}

function toTensor({ dtype, dims, bytes }: TensorValue): Tensor {
  const make = arrays[dtype]
  if (!make) throw new ManyhandsError('unsupported', `Results of type ${dtype} can't be handed out.`)
  return new Tensor(dtype as 'float32', make(bytes.slice()) as Float32Array, dims)
}
