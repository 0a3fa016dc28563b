/** Cheats that hand on something else than what was computed, or compute less than all blocks. */
import type { BlockRange, Manifest } from '../../protocol/manifest.ts'
import type { TensorSpec, TensorValue } from '../../protocol/tensors.ts'
import type { StageEngine, StepInput, StepOutput } from '../../worker/engine/engine.ts'
import type { Cheat } from './cheat.ts'

/** The same stage, its outputs changed. */
export function changing(change: (output: StepOutput, step: StepInput) => StepOutput): Cheat {
  return { stage: (stage) => instead(stage, async (step) => change(await stage.run(step), step)) }
}

function instead(stage: StageEngine, run: StageEngine['run'], report: Partial<StageEngine['report']> = {}): StageEngine {
  return {
    manifest: stage.manifest,
    range: stage.range,
    report: { ...stage.report, ...report },
    inputSpecs: stage.inputSpecs,
    outputSpecs: stage.outputSpecs,
    lost: stage.lost,
    open: (session, maxPositions) => stage.open(session, maxPositions),
    held: (session) => stage.held(session),
    rollback: (session, position) => stage.rollback(session, position),
    close: (session) => stage.close(session),
    dispose: () => stage.dispose(),
    run,
  }
}

const filled = (value: TensorValue, bytes: Uint8Array): TensorValue => ({ ...value, bytes })

export const zeros = changing((output) => ({
  ...output,
  outputs: output.outputs.map((value) => filled(value, new Uint8Array(value.bytes.length))),
}))

/** Whatever it gave for the step before, where the shapes allow it. */
export function stale(): Cheat {
  let last: readonly TensorValue[] = []
  return changing((output) => {
    const before = last
    last = output.outputs
    return {
      ...output,
      outputs: output.outputs.map((value, i) => (before[i]?.dims.join() === value.dims.join() ? before[i] : value)),
    }
  })
}

/** The likeliest token and the next change places: another token, and logits that say so. */
export const otherToken = changing((output, { rows, logitsFrom }) => {
  const [logits] = output.outputs
  if (!logits || logitsFrom >= rows || logits.dims.length !== 2) return output
  const values = new Float32Array(logits.bytes.slice().buffer)
  const width = logits.dims[1] as number
  for (let at = 0; at < values.length; at += width) {
    const row = values.subarray(at, at + width)
    let [first, second] = [0, 1]
    for (let i = 0; i < row.length; i++) {
      if ((row[i] as number) > (row[first] as number)) [first, second] = [i, first]
      else if (i !== first && ((row[i] as number) > (row[second] as number) || second === first)) second = i
    }
    const top = row[first] as number
    row[first] = row[second] as number
    row[second] = top
  }
  return { ...output, outputs: [filled(logits, new Uint8Array(values.buffer))] }
})

/** Adds a relative error of `size` to each number: what lies just above or below a tolerance. */
export const noisy = (size: number): Cheat =>
  changing((output) => ({
    ...output,
    outputs: output.outputs.map((value) => {
      if (value.dtype !== 'float32') return value
      const values = new Float32Array(value.bytes.slice().buffer)
      for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * (1 + (i % 2 === 0 ? size : -size))
      return filled(value, new Uint8Array(values.buffer))
    }),
  }))

/** Leaves a block out, where the tensors before and behind it are alike. */
export const skippedLayer: Cheat = {
  stage: async (stage, load) => {
    const shorter = await load(withoutABlock(stage.manifest, stage.range))
    return { ...instead(shorter, (step) => shorter.run(step), stage.report), range: stage.range }
  },
}

function withoutABlock(manifest: Manifest, { first, end }: BlockRange): BlockRange {
  const alike = (a: number, b: number) => {
    const shapes = (specs: readonly TensorSpec[] | undefined) => JSON.stringify(specs?.map(({ dtype, shape }) => [dtype, shape]))
    return shapes(manifest.cuts[a - 1]?.tensors) === shapes(manifest.cuts[b - 1]?.tensors)
  }
  if (first > 0) for (let other = first + 1; other < end; other++) if (alike(first, other)) return { first: other, end }
  for (let other = end - 1; other > first; other--) if (end < manifest.blocks.length && alike(end, other)) return { first, end: other }
  throw new Error('no block of this stage can be left out')
}

/** Says WebGPU, so that its bits need not be equal, computes on wasm, and hides an error in what it hopes to be allowed. */
export const falseBackend: Cheat = {
  stage: async (stage) => {
    const off = (await noisy(2e-4).stage?.(stage, () => Promise.reject(new Error('nothing else is loaded')))) ?? stage
    return instead(off, (step) => off.run(step), { backend: 'webgpu', adapter: 'imagined' })
  },
}
