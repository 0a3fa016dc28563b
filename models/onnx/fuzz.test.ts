/**
 * Damaged and random files through everything that a volunteer does with a graph before the engine sees it: read, bring to
 * normal form, cut, carve, lower, write. MANYHANDS_FUZZ sets how many.
 */
import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import { capturingModel, everythingModel, fusedDecoder, fusedDecoderPorts } from '../../testing/sample-graphs.ts'
import { fuzzRuns, mutate } from '../../testing/fuzz.ts'
import { Carver } from '../carve.ts'
import { findCuts } from '../cuts.ts'
import { normalForm } from '../graph-normal.ts'
import { lower } from '../lower.ts'
import type { Model } from './model.ts'
import { readModel } from './read.ts'
import { writeModel } from './write.ts'

/** Every so many runs go all the way: analysis takes ten times as long as reading. */
const wholeWay = 11

const ports = fusedDecoderPorts(1)

/** The number of cuts. */
function prepare(read: Model): number {
  const model = normalForm(read)
  const seen = { dtype: 'float32', dims: [1, 1, 8] } as const
  const shapes = new Map(model.graph.nodes.flatMap((node) => node.outputs.map((name) => [name, seen] as const)))
  const cuts = findCuts(model.graph, ports, { shapes }).map(({ tensors }) => ({
    tensors: tensors.map((name) => ({ name, dtype: 'float32' as const, shape: [1, 'rows', 8] })),
  }))
  const carver = new Carver(model, { cuts, inputs: [...ports.inputs], outputs: [...ports.outputs] } as unknown as ConstructorParameters<
    typeof Carver
  >[1])
  for (let first = 0; first <= cuts.length; first++) writeModel(lower(carver.stage({ first, end: first + 1 }).model, 'wasm').model)
  return cuts.length
}

describe('fuzzed ONNX', () => {
  it(`${fuzzRuns} files are taken or refused as bad models, nothing else`, { timeout: 60_000 + fuzzRuns }, () => {
    const seeds = [capturingModel(), everythingModel(), fusedDecoder(1)].map(writeModel)
    const outcomes = { taken: 0, refused: 0, cut: 0 }
    for (let i = 0; i < fuzzRuns; i++) {
      const bytes = mutate(seeds, i, Number.POSITIVE_INFINITY)
      try {
        const model = readModel(bytes)
        writeModel(model)
        if (i % wholeWay === 0 && prepare(model) > 0) outcomes.cut++
        outcomes.taken++
      } catch (thrown) {
        if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-model'))
          throw new Error(`fuzz run ${i} broke the reader`, { cause: thrown })
        outcomes.refused++
      }
    }
    // All of it is really tried.
    expect(outcomes.cut).toBeGreaterThan(fuzzRuns / 1000)
    expect(outcomes.taken).toBeGreaterThan(fuzzRuns / 20)
    expect(outcomes.refused).toBeGreaterThan(fuzzRuns / 20)
  })
})
