/**
 * One thread or more for wasm: settled once per load by a short measurement, because on a busy machine more threads are
 * slower. What is measured is what a decode step does: one row times a matrix too large for the caches near a core.
 */
import { GraphBuilder } from '../../models/graph-builder.ts'
import { writeModel } from '../../models/onnx/write.ts'
import type { OrtSource } from './ort-source.ts'
import type { Runtime, WeightFile } from './runtime.ts'

/** 16 MB of f32; a layer of a small model. */
const width = 2048
/** A run takes about a millisecond; the fastest of these is the least disturbed. */
const runs = 12
/** Threads cost the tab's other workers: they have to gain at least this. */
const worthwhile = 0.9

/** @throws ManyhandsError engine-failed */
export async function openFastestWasm(source: OrtSource): Promise<Runtime> {
  if (source.mostThreads < 2) return source.wasm(1)
  const single = await source.wasm(1)
  const many = await source.wasm(source.mostThreads).catch(() => undefined)
  if (!many) return single
  return (await rowMs(many)) < worthwhile * (await rowMs(single)) ? many : single
}

async function rowMs(runtime: Runtime): Promise<number> {
  const session = await runtime.createSession(probe(), [matrix], [])
  const row = { dtype: 'float32' as const, dims: [1, width], bytes: new Uint8Array(4 * width) }
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < runs; i++) {
    const started = performance.now()
    await session.run(new Map([['x', row]]), ['y'], new Map())
    best = Math.min(best, performance.now() - started)
  }
  await session.release()
  return best
}

const matrix: WeightFile = { location: 'matrix', bytes: 4 * width * width, read: () => new Uint8Array(4 * width * width) }

function probe(): Uint8Array {
  const graph = new GraphBuilder()
  graph.input('x', 'float32', [1, width])
  graph.initializer('w', 'float32', [width, width], { kind: 'external', location: matrix.location, offset: 0, length: matrix.bytes })
  graph.node('MatMul', ['x', 'w'], 'y')
  graph.output('y', 'float32', [1, width])
  return writeModel({
    irVersion: 9,
    opsetImports: [{ domain: '', version: 18 }],
    producer: 'manyhands',
    graph: graph.build('probe'),
    metadata: new Map(),
    functions: [],
  })
}
