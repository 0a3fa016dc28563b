/**
 * Small graphs with what real exports are awkward about, for tests of the reader, the cutter and the carver.
 */
import { utf8 } from '../protocol/bytes.ts'
import { GraphBuilder } from '../models/graph-builder.ts'
import type { Attribute, Graph, Model, Node } from '../models/onnx/model.ts'

export const modelOf = (graph: Graph): Model => ({
  irVersion: 9,
  opsetImports: [
    { domain: '', version: 18 },
    { domain: 'com.microsoft', version: 1 },
  ],
  producer: 'test',
  graph,
  metadata: new Map(),
  functions: [],
})

const floats = (count: number, value: number) =>
  ({ kind: 'raw', bytes: new Uint8Array(new Float32Array(count).fill(value).buffer) }) as const

export const hidden = 8

/**
 * A decoder as exporters write them: fused skip-norms, lengths taken from the first layer's cache, a causal mask made once
 * and read by all layers. Inputs `ids`, `past.N`; outputs `logits`, `present.N`.
 */
export function fusedDecoder(layers: number): Model {
  const g = new GraphBuilder()
  const past = (n: number) => g.input(`past.${n}`, 'float32', ['batch', 'past', hidden])
  g.input('ids', 'int64', ['batch', 'rows'])
  for (let n = 0; n < layers; n++) past(n)
  const weight = (name: string, rows: number, columns: number) =>
    g.initializer(name, 'float32', [rows, columns], floats(rows * columns, 0.01 * (1 + (name.length % 7))))
  const gamma = g.initializer('gamma', 'float32', [hidden], floats(hidden, 1))
  const embedding = g.initializer('embedding', 'float32', [32, hidden], {
    kind: 'raw',
    bytes: new Uint8Array(Float32Array.from({ length: 32 * hidden }, (_, i) => Math.sin(i)).buffer),
  })
  const embedded = g.node('Gather', [embedding, 'ids'], 'embedded')
  // past length + 1: how much every score is divided by (a stand-in for a mask: what matters is that all layers read it).
  const length = g.node('Gather', [g.node('Shape', ['past.0'], 'past.shape'), g.int64s('one', [1], [])], 'past.length')
  const scale = g.node('Cast', [g.node('Add', [length, 'one'], 'total.length')], 'scale', { to: { int: 1 } })
  let residual = embedded
  let normed = g.node('SimplifiedLayerNormalization', [embedded, gamma], 'first.norm', { axis: { int: -1 }, epsilon: { float: 2 ** -16 } })
  for (let n = 0; n < layers; n++) {
    const key = g.node('MatMul', [normed, weight(`k.${n}`, hidden, hidden)], `key.${n}`)
    g.node('Concat', [`past.${n}`, key], `present.${n}`, { axis: { int: 1 } })
    const turned = g.node('Transpose', [`present.${n}`], `turned.${n}`, { perm: { ints: [0, 2, 1] } })
    const scores = g.node('Div', [g.node('MatMul', [normed, turned], `scores.${n}`), scale], `scaled.${n}`)
    const attended = g.node('MatMul', [g.node('Softmax', [scores], `softmax.${n}`), `present.${n}`], `attended.${n}`)
    const skip = { epsilon: { float: 2 ** -16 } }
    g.node('com.microsoft.SkipSimplifiedLayerNormalization', [residual, attended, gamma], [`norm.${n}.a`, '', '', `sum.${n}.a`], skip)
    const grown = g.node('Relu', [g.node('MatMul', [`norm.${n}.a`, weight(`up.${n}`, hidden, 4 * hidden)], `up.${n}.out`)], `relu.${n}`)
    const shrunk = g.node('MatMul', [grown, weight(`down.${n}`, 4 * hidden, hidden)], `down.${n}.out`)
    g.node('com.microsoft.SkipSimplifiedLayerNormalization', [`sum.${n}.a`, shrunk, gamma], [`norm.${n}.b`, '', '', `sum.${n}.b`], skip)
    residual = `sum.${n}.b`
    normed = `norm.${n}.b`
  }
  g.node('MatMul', [normed, weight('head', hidden, 32)], 'logits')
  g.output('logits', 'float32', ['batch', 'rows', 32])
  for (let n = 0; n < layers; n++) g.output(`present.${n}`, 'float32', ['batch', 'total', hidden])
  return modelOf(g.build('fused'))
}

export const fusedDecoderPorts = (layers: number) =>
  ({
    inputs: [
      { name: 'ids', dtype: 'int64', shape: ['batch', 'rows'], role: 'tokens' } as const,
      ...Array.from(
        { length: layers },
        (_, n) => ({ name: `past.${n}`, dtype: 'float32', shape: ['batch', 'past', hidden], role: 'past' }) as const,
      ),
    ],
    outputs: [
      { name: 'logits', dtype: 'float32', shape: ['batch', 'rows', 32], role: 'logits' } as const,
      ...Array.from(
        { length: layers },
        (_, n) => ({ name: `present.${n}`, dtype: 'float32', shape: ['batch', 'total', hidden], role: 'present' }) as const,
      ),
    ],
  }) as const

/** x -> a -> b, then an If whose branches read `a` and `b` from outside. Output `y`. */
export function capturingModel(): Model {
  const g = new GraphBuilder()
  g.input('x', 'float32', [hidden])
  g.input('positive', 'bool', [])
  const w = g.initializer('w', 'float32', [hidden, hidden], floats(hidden * hidden, 0.1))
  g.node('MatMul', ['x', w], 'a')
  g.node('MatMul', ['a', w], 'b')
  const { nodes, ...rest } = g.build('capturing')
  const branch = (op: string, name: string, read: string): Attribute => {
    const b = new GraphBuilder()
    b.node(op, [read], `${name}.y`)
    b.output(`${name}.y`, 'float32', [hidden])
    return { type: 'graph', value: b.build(name) }
  }
  const choice: Node = {
    name: 'choice',
    opType: 'If',
    domain: '',
    overload: '',
    inputs: ['positive'],
    outputs: ['y'],
    attributes: new Map([
      ['then_branch', branch('Relu', 'then', 'a')],
      ['else_branch', branch('Neg', 'else', 'b')],
    ]),
  }
  return modelOf({
    ...rest,
    nodes: [...nodes, choice],
    outputs: [{ name: 'y', type: { kind: 'tensor', dtype: 'float32', dims: [hidden] } }],
  })
}

/** One of everything that a file can hold. */
export function everythingModel(): Model {
  const { graph } = capturingModel()
  const [first, ...others] = graph.nodes
  const raw = new Uint8Array(Float32Array.of(1, 2, 3).buffer)
  const tensor = { name: 't', dtype: 'float32', dims: [3], data: { kind: 'raw', bytes: raw } } as const
  const attributes = new Map<string, Attribute>([
    ['f', { type: 'float', value: 0.5 }],
    ['i', { type: 'int', value: -(2n ** 63n) }],
    ['s', { type: 'string', value: utf8('grüße') }],
    ['t', { type: 'tensor', value: tensor }],
    ['g', { type: 'graph', value: { name: 'inner', nodes: [], initializers: [tensor], inputs: [], outputs: [], valueInfo: [] } }],
    ['fs', { type: 'floats', value: Float32Array.of(1, -2) }],
    ['is', { type: 'ints', value: BigInt64Array.of(0n, -1n, 2n ** 63n - 1n) }],
    ['ss', { type: 'strings', value: [utf8('a'), utf8('')] }],
    ['ts', { type: 'tensors', value: [tensor] }],
    ['gs', { type: 'graphs', value: [] }],
  ])
  return {
    ...modelOf({
      ...graph,
      nodes: [{ ...(first as Node), overload: 'o', attributes }, ...others],
      initializers: [
        ...graph.initializers,
        { name: 'outside', dtype: 'int4', dims: [2, 3], data: { kind: 'external', location: 'shard-0', offset: 4096, length: 3 } },
        { name: 'words', dtype: 'string', dims: [2], data: { kind: 'strings', values: [utf8('one'), utf8('two')] } },
        { name: 'scalar', dtype: 'bfloat16', dims: [], data: { kind: 'raw', bytes: Uint8Array.of(128, 63) } },
      ],
      valueInfo: [
        { name: 'a', type: { kind: 'tensor', dtype: 'float32', dims: ['rows', '', 0, hidden] } },
        { name: 'b', type: { kind: 'tensor', dtype: 'float32' } },
        { name: 'unknown', type: { kind: 'other', bytes: new Uint8Array() } },
        // A sequence of tensors.
        { name: 'sequence', type: { kind: 'other', bytes: Uint8Array.of(34, 0) } },
      ],
    }),
    metadata: new Map([['author', 'nobody']]),
    functions: [{ name: 'f', domain: 'local', bytes: Uint8Array.of(10, 1, 102, 82, 5, 108, 111, 99, 97, 108) }],
  }
}
