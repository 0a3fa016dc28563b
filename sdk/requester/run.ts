/**
 * `net.run`: one pass of any ONNX model. The feeds are checked against the manifest before anything is sent; the results are
 * onnxruntime tensors by output name. Results are given out whole, when as many pipelines as were asked for agree on them.
 */
import { Tensor } from 'onnxruntime-common'
import { deferred } from '../../link/deferred.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { checkShape, dtypeSize, elementCount, packTensors, type DType, type TensorValue } from '../../protocol/tensors.ts'
import { feedSpecs } from '../../worker/ring/step-tensors.ts'
import type { Feeds } from '../map-types.ts'
import type { RunOptions, RunResult } from '../types.ts'
import { follow } from './follow.ts'
import type { RequesterNetwork } from './network.ts'
import { RunAsking, type Job, type RunAgreed, type RunAnswer } from './run-pipeline.ts'
import type { SessionSource } from './session-source.ts'
import { pipelinesFor } from './verification.ts'

/** A model that is run in one pass. */
export interface Runnable {
  readonly revision: Revision
  readonly manifest: Manifest
}

/** @throws ManyhandsError unknown-model; bad-input for one that generates text */
export async function runnable(network: RequesterNetwork, model: string, signal: AbortSignal | undefined): Promise<Runnable> {
  const revision = await network.revision(model, signal)
  const manifest = await network.manifest(revision, signal)
  if (manifest.decoder) throw new ManyhandsError('bad-input', `${manifest.name} generates text. Use generate().`)
  return { revision, manifest }
}

export async function runFeeds(
  source: SessionSource,
  { revision, manifest }: Runnable,
  feeds: Feeds,
  options: RunOptions,
): Promise<RunResult> {
  const pipelines = pipelinesFor(options.verify)
  const packed = packTensors(readFeeds(manifest, feeds))
  options.signal?.throwIfAborted()
  const results = manifest.outputs.filter((o) => o.role === 'result')
  return runJob(source, { revision, feeds: packed, feedTensors: feedSpecs(manifest).length, results, pipelines, options })
}

/** Resolves with the first results; what is found wrong with them later goes to `onCorrection`. */
export async function runJob(source: SessionSource, job: Job): Promise<RunResult> {
  const { options } = job
  const first = deferred<RunAgreed>()
  let last: RunAgreed | undefined
  const settled = follow<RunAgreed>({
    ask: (corrects) => new RunAsking(source, job, corrects),
    correcting: (reason) => options.onProgress?.({ phase: 'correcting', reason }),
    answered: (agreed, reason) => {
      const changed = last !== undefined && reason !== undefined && !equalBytes(last.answer.packed, agreed.answer.packed)
      last = agreed
      if (changed) options.onCorrection?.({ outputs: outputs(job, agreed.answer), reason })
      first.resolve(agreed)
    },
  })
  settled.catch((thrown: unknown) => first.reject(asError(thrown)))
  const { answer, pipelines } = await first.promise
  const receipts = Promise.all(pipelines.map(({ news }) => news.receipt))
  receipts.catch(() => undefined)
  const [{ stages, news }] = pipelines as readonly [RunAgreed['pipelines'][number]]
  return {
    outputs: outputs(job, answer),
    stages: stages.map(({ peer, blocks, backend }) => ({ peer, blocks, backend })),
    receipt: news.receipt,
    receipts,
    settled,
    record: async () => {
      const { answer, pipelines } = last ?? (await first.promise)
      const receipt = await (pipelines as readonly [RunAgreed['pipelines'][number]])[0].news.receipt
      return source.record(receipt, {
        prompt: { packed: job.feeds, tensors: job.feedTensors },
        answer: { packed: answer.packed, tensors: job.results.length },
        answerSignature: answer.signature,
      })
    },
  }
}

const outputs = ({ results }: Job, { values }: RunAnswer): Record<string, Tensor> =>
  Object.fromEntries(results.map((spec, i) => [spec.name, toTensor(values[i] as TensorValue)]))

/** @throws ManyhandsError bad-input naming the tensor and what it should be */
function readFeeds(manifest: Manifest, feeds: Feeds): TensorValue[] {
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
