/**
 * One step of one stage: feeds from what came and from position and rows, a run, what goes on. It knows nothing of queues,
 * limits or other sessions; see stage-engine.ts for those.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import type { StepOutput } from './engine.ts'
import type { Resident, Runtime, RuntimeSession } from './runtime.ts'
import type { SessionCache } from './session-caches.ts'
import type { StageGraph } from './stage-graph.ts'
import { checkFinite, checkInputs, checkTokens } from './tensor-checks.ts'
import { wantedFrom } from './wanted-rows.ts'

export interface StageStep {
  readonly position: number
  readonly rows: number
  readonly inputs: readonly TensorValue[]
  readonly logitsFrom: number
}

export class Stage {
  readonly graph: StageGraph
  readonly manifest: Manifest
  readonly #runtime: Runtime
  readonly #session: RuntimeSession

  constructor(manifest: Manifest, graph: StageGraph, runtime: Runtime, session: RuntimeSession) {
    this.manifest = manifest
    this.graph = graph
    this.#runtime = runtime
    this.#session = session
  }

  /** @throws ManyhandsError bad-input, not-finite */
  check({ inputs, rows }: StageStep): void {
    const { inputSpecs } = this.graph
    const { decoder } = this.manifest
    checkInputs(inputs, inputSpecs, decoder ? rows : undefined)
    const tokens = this.manifest.inputs.find((input) => input.role === 'tokens')
    for (const [i, spec] of inputSpecs.entries()) {
      if (decoder && spec.name === tokens?.name && spec.dtype === 'int64') checkTokens(inputs[i] as TensorValue, decoder.vocab)
    }
    checkFinite(inputs, 'The inputs')
  }

  /**
   * @param cache the session's, its rows up to the step's position; advanced when the step succeeds. None without a decoder.
   * @throws ManyhandsError not-finite, engine-failed, out-of-memory
   */
  async run(step: StageStep, cache: SessionCache | undefined): Promise<StepOutput> {
    const { graph } = this
    const { position, rows, inputs } = step
    const feeds = new Map<string, TensorValue | Resident>(cache?.pasts)
    for (const [i, spec] of graph.inputSpecs.entries())
      if (this.#session.inputNames.includes(spec.name)) feeds.set(spec.name, inputs[i] as TensorValue)
    if (graph.mask !== undefined) feeds.set(graph.mask, int64([1, position + rows], new BigInt64Array(position + rows).fill(1n)))
    if (graph.positions !== undefined)
      feeds.set(
        graph.positions,
        int64(
          [1, rows],
          BigInt64Array.from({ length: rows }, (_, row) => BigInt(position + row)),
        ),
      )
    const from = Math.min(step.logitsFrom, this.#leastFrom(rows))
    if (graph.makesLogits) feeds.set(wantedFrom, int64([1], BigInt64Array.of(BigInt(from))))

    const started = performance.now()
    const names = graph.outputSpecs.map((spec) => spec.name)
    const made = await this.#session.run(feeds, names, cache?.presents ?? new Map())
    const runMs = performance.now() - started
    const outputs = names.map((name) => made.get(name) as TensorValue)
    checkFinite(outputs, 'The results')
    if (cache) cache.held = position + rows
    return { outputs: graph.makesLogits ? wantedLogits(outputs, step.logitsFrom - from) : outputs, runMs }
  }

  /** A GPU kernel is never given zero rows: the least to compute is one, which nobody gets to see. */
  #leastFrom(rows: number): number {
    return this.#runtime.backend === 'webgpu' ? rows - 1 : rows
  }
}

/** Logits [1, rows, vocab] as [rows, vocab] without the first `skip` rows; nothing when none are left. */
function wantedLogits([logits]: readonly TensorValue[], skip: number): TensorValue[] {
  const [, rows = 0, vocab = 0] = logits?.dims ?? []
  if (!logits || logits.dims.length !== 3)
    throw new ManyhandsError('bad-model', 'The model gives logits of another shape than [batch, rows, vocabulary].')
  if (rows === skip) return []
  return [{ dtype: logits.dtype, dims: [rows - skip, vocab], bytes: logits.bytes.subarray((skip * logits.bytes.length) / rows) }]
}

function int64(dims: readonly number[], values: BigInt64Array): TensorValue {
  return { dtype: 'int64', dims, bytes: new Uint8Array(values.buffer) }
}
