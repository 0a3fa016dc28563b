/**
 * From an assignment to a stage that serves: fetch, carve, lower, one session, golden check; on the best backend that the
 * volunteer allows and that computes rightly.
 */
import type { BlobStore } from '../blobs/blob-store.ts'
import { lowerAttention } from '../../models/lower-attention.ts'
import { lower, type Lowered } from '../../models/lower.ts'
import type { Model } from '../../models/onnx/model.ts'
import { writeModel } from '../../models/onnx/write.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { asError, ManyhandsError } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { elementCount, unpackTensors, type TensorSpec, type TensorValue } from '../../protocol/tensors.ts'
import type { Backend } from '../../protocol/ticket.ts'
import type { LoadProgress, LoadRequest, StageEngine } from './engine.ts'
import { checkGoldens, type GoldenResult } from './golden.ts'
import type { OrtSource } from './ort-source.ts'
import { RunQueue } from './run-queue.ts'
import type { Runtime, RuntimeSession, WeightFile } from './runtime.ts'
import { SessionCaches } from './session-caches.ts'
import { LoadedStageEngine } from './stage-engine.ts'
import { fetchStage, type StageFiles } from './stage-files.ts'
import { stageGraph, type StageGraph } from './stage-graph.ts'
import { Stage } from './stage.ts'
import { openFastestWasm } from './threads.ts'

export interface StagePlatform {
  readonly ort: OrtSource
  readonly blobs: BlobStore
  /** Threads of wasm, where they are not to be measured. */
  readonly threads?: number
}

export interface LoadOptions {
  readonly signal: AbortSignal
  readonly onProgress: (progress: LoadProgress) => void
}

/** Largest relative L2 error of a golden row: honest GPUs stay under 1e-6, the mildest cheat makes 1.6e-5. */
const webGpuTolerance = 1e-5
/** Wasm gives the golden bits; a browser's own mathematics may differ in the last one. */
const wasmTolerance = 1e-6
/** Wasm is right with any number of rows; this many keep a run's scratch memory at tens of megabytes. */
const wasmRowLimit = 512
/** No run takes this long but one that hangs: SwiftShader's longest is some seconds. */
const hungMs = 120_000
/** The golden check's own session. */
const goldenSession = 'golden' as SessionId

/** @throws ManyhandsError bad-model, engine-failed (no backend computes rightly), out-of-memory, aborted, or what fetching throws */
export async function loadStage(request: LoadRequest, platform: StagePlatform, options: LoadOptions): Promise<StageEngine> {
  const files = await fetchStage(request.manifest, request.range, platform.blobs, options)
  options.onProgress({ phase: 'preparing', doneBytes: 0, totalBytes: 0 })
  const graph = stageGraph(files.graph, request.manifest, request.range)
  const passed: string[] = []
  for (const backend of request.backends) {
    if (options.signal.aborted) throw new ManyhandsError('aborted', 'Stopped.')
    try {
      return await tryBackend({ backend, request, platform, options, files, graph, fallbackReason: passed.join(' ') })
    } catch (thrown) {
      const error = asError(thrown, 'engine-failed')
      if (backend === request.backends.at(-1) || error.code === 'bad-model' || error.code === 'aborted') throw error
      passed.push(error.message)
    }
  }
  throw new ManyhandsError('bad-input', 'No backend is allowed.')
}

interface Attempt {
  readonly backend: Backend
  readonly request: LoadRequest
  readonly platform: StagePlatform
  readonly options: LoadOptions
  readonly files: StageFiles
  readonly graph: StageGraph
  readonly fallbackReason: string
}

async function tryBackend(attempt: Attempt): Promise<StageEngine> {
  const { backend, platform, files, graph } = attempt
  const { memoryBytes } = attempt.request
  const { weights, ...lowered } = lower(graph.model, backend)
  const model = backend === 'wasm' ? lowerAttention(lowered.model) : lowered.model
  const weightBytes = residentBytes(model)
  if (weightBytes > memoryBytes) {
    throw new ManyhandsError(
      'out-of-memory',
      `These blocks take ${weightBytes} bytes; ${memoryBytes} are given: give more memory or take fewer blocks.`,
    )
  }
  const runtime = backend === 'webgpu' ? await platform.ort.webgpu() : await openWasm(platform, attempt.request.manifest)
  const resident = graph.caches.map((port) => port.present)
  const session = await runtime.createSession(writeModel(model), weightFiles(model, weights, files.shards), resident)
  const queue = new RunQueue(hungMs)
  void runtime.lost.then((reason) => queue.end(asError(reason, 'engine-failed')))
  try {
    return await checkedEngine(runtime, session, queue, weightBytes, attempt)
  } catch (thrown) {
    const error = asError(thrown, 'engine-failed')
    await queue.close(() => session.release(), error)
    throw error
  }
}

/** The engine, once it has computed what the publisher computed. */
async function checkedEngine(
  runtime: Runtime,
  session: RuntimeSession,
  queue: RunQueue,
  weightBytes: number,
  { backend, request, options, files, graph, fallbackReason }: Attempt,
): Promise<StageEngine> {
  const { manifest, range, memoryBytes } = request
  const { decoder } = manifest
  const stage = new Stage(manifest, graph, runtime, session)
  const caches = decoder ? new SessionCaches(runtime, graph.caches, decoder, memoryBytes - weightBytes) : undefined
  options.onProgress({ phase: 'checking', doneBytes: 0, totalBytes: 0 })
  const golden = await goldens(stage, queue, caches, request, files, backend)
  const report = {
    backend,
    threads: runtime.threads,
    adapter: runtime.adapter,
    rowLimit: rowLimit(manifest, backend, golden),
    msPerRow: golden.msPerRow,
    goldenError: golden.error,
    fetchedBytes: files.fetchedBytes,
    storedBytes: files.storedBytes,
    notKept: files.notKept,
    cachePositions: caches?.positions ?? 0,
    fallbackReason,
  }
  const measured = decoder ? {} : { measuredElements: elementsOf(unpack(files.goldenInputs, graph.inputSpecs)) }
  return new LoadedStageEngine({ stage, range, report, queue, caches, release: () => session.release(), ...measured })
}

const elementsOf = (values: readonly TensorValue[]): number => values.reduce((sum, { dims }) => sum + elementCount(dims), 0)

/** Wasm that gave the whole golden prefill is trusted with longer runs. */
function rowLimit({ decoder, golden }: Manifest, backend: Backend, result: GoldenResult): number {
  if (!decoder) return 1
  return backend === 'wasm' && result.rowLimit === Math.max(...golden.runs) ? wasmRowLimit : result.rowLimit
}

/**
 * Convolutions and products of small matrices round by how many threads share them: PP-OCR's recognition gives three results to the bit
 * with 1, 2 and 4 threads on lines of 960 columns, and one on its goldens' 320. So such a model has one thread, or volunteers who
 * are honest would stand against each other. A decoder's quantised weights do not depend on it.
 */
function openWasm({ ort, threads }: StagePlatform, { decoder }: Manifest): Promise<Runtime> {
  if (!decoder) return ort.wasm(1)
  return threads === undefined ? openFastestWasm(ort) : ort.wasm(threads)
}

/** Bytes of a model's weights in memory. */
function residentBytes({ graph }: Model): number {
  let bytes = 0
  for (const { data } of graph.initializers) bytes += data.kind === 'external' ? data.length : data.kind === 'raw' ? data.bytes.length : 0
  return bytes
}

/** The shards, and what lowering makes of them while the session asks for it: never all of it at once. */
function weightFiles(model: Model, weights: Lowered['weights'], shards: ReadonlyMap<string, Bytes>): WeightFile[] {
  const shard = (location: string): Bytes => {
    const bytes = shards.get(location)
    if (!bytes) throw new ManyhandsError('bad-model', `The graph reads ${location}, which is not among the shards of these blocks.`)
    return bytes
  }
  const made = new Set(weights.map(({ location }) => location))
  const locations = new Set(
    model.graph.initializers.flatMap(({ data }) => (data.kind === 'external' && !made.has(data.location) ? [data.location] : [])),
  )
  return [
    ...[...locations].map((location) => ({ location, bytes: shard(location).length, read: () => shard(location) })),
    ...weights.map((weight) => ({
      location: weight.location,
      bytes: weight.bytes,
      read: () => weight.make((location, offset, length) => shard(location).subarray(offset, offset + length)),
    })),
  ]
}

async function goldens(
  stage: Stage,
  queue: RunQueue,
  caches: SessionCaches | undefined,
  { manifest }: LoadRequest,
  files: StageFiles,
  backend: Backend,
): Promise<GoldenResult> {
  const { golden } = manifest
  const { inputSpecs, outputSpecs, makesLogits } = stage.graph
  const rows = golden.runs.reduce((a, b) => a + b, 0)
  caches?.open(goldenSession, rows)
  const cache = caches?.get(goldenSession)
  try {
    return await checkGoldens({
      golden,
      inputs: unpack(files.goldenInputs, inputSpecs, cache && [1, rows]),
      expected: unpack(files.goldenOutputs, outputSpecs, makesLogits ? [golden.outputRows.length] : cache && [1, rows]),
      ...(makesLogits ? { logitRows: golden.outputRows } : {}),
      isDecoder: caches !== undefined,
      tolerance: backend === 'wasm' ? wasmTolerance : webGpuTolerance,
      run: (step) => queue.take(() => stage.run(step, cache)),
      restart: () => {
        if (cache) cache.held = 0
      },
    })
  } finally {
    const release = caches?.close(goldenSession)
    if (release) await queue.take(async () => release()).catch(() => undefined)
  }
}

/**
 * @param sizes of the first axes: of a decoder, the rows of all runs
 * @throws ManyhandsError bad-model: the manifest's publisher made goldens that don't fit its own cuts
 */
function unpack(packed: Bytes, specs: readonly TensorSpec[], sizes: readonly number[] = []): TensorValue[] {
  try {
    const values = unpackTensors(packed, specs)
    for (const { dims } of values) if (sizes.some((size, axis) => dims[axis] !== size)) throw new TypeError(`shape [${dims.join(', ')}]`)
    return values
  } catch (cause) {
    throw new ManyhandsError('bad-model', 'The golden activations do not fit the manifest: the model was published wrongly.', { cause })
  }
}
