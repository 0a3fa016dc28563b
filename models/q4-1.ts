/**
 * A GGUF Q4_1 matrix (w = d q + m, blocks of 32) as ONNX nodes that every backend runs exactly: 4-bit MatMulNBits around its
 * default zero point 8 gives d (q - 8), and the rest, m + 8 d, is the same for a whole block, so it multiplies the block's
 * sum of x. The importer writes the pattern; the lowering finds it again and makes one f32 matrix of it.
 */
import type { GraphBuilder } from './graph-builder.ts'
import type { Graph, Node, Tensor } from './onnx/model.ts'

export const q41BlockSize = 32
/** What MatMulNBits subtracts from 4-bit values when it is given no zero points. */
const zeroPoint = 8

/** A matrix [rows, columns] = [out, in] by the names of its initializers. */
export interface Q41Matrix {
  /** u8 [rows, columns / 32, 16]: byte j holds elements 2j (low nibble) and 2j + 1. */
  readonly quant: string
  /** f16 [rows, columns / 32]: d. */
  readonly scale: string
  /** f16 [rows, columns / 32]: m. */
  readonly min: string
  readonly rows: number
  readonly columns: number
}

/** Sums of x over its blocks of 32: [..., columns] to [..., columns / 32]. Matrices that read the same x share them. */
export function blockSums(graph: GraphBuilder, x: string, columns: number): string {
  const shape = graph.int64s(`${x}.blocks.shape`, [0, 0, columns / q41BlockSize, q41BlockSize])
  const axis = graph.int64s('q4_1.axis', [-1])
  const blocks = graph.node('Reshape', [x, shape], `${x}.blocks`)
  return graph.node('ReduceSum', [blocks, axis], `${x}.sums`, { keepdims: { int: 0 } })
}

/** x [batch, rows, columns] times the matrix, transposed. The casts stand right before their use, so that no cut keeps them alive. */
export function q41MatMul(graph: GraphBuilder, matrix: Q41Matrix, x: string, sums: string, out: string): string {
  const { rows, columns } = matrix
  const toFloat = { to: { int: 1 } }
  const scale = graph.node('Cast', [matrix.scale], `${matrix.scale}.f32`, toFloat)
  const fine = graph.node('com.microsoft.MatMulNBits', [x, matrix.quant, scale], `${out}.fine`, {
    K: { int: columns },
    N: { int: rows },
    bits: { int: 4 },
    block_size: { int: q41BlockSize },
  })
  const min = graph.node('Cast', [matrix.min], `${matrix.min}.f32`, toFloat)
  const eight = graph.float('q4_1.zero_point', zeroPoint)
  const lift = graph.node('Mul', [scale, eight], `${matrix.scale}.lift`)
  const offset = graph.node('Add', [min, lift], `${matrix.min}.offset`)
  const perBlock = graph.node('Transpose', [offset], `${matrix.min}.offset_t`, { perm: { ints: [1, 0] } })
  const coarse = graph.node('MatMul', [sums, perBlock], `${out}.coarse`)
  return graph.node('Add', [fine, coarse], out)
}

export interface Q41Match {
  readonly matrix: Q41Matrix
  readonly x: string
  readonly out: string
  /** The nodes that are this product and nothing else, in graph order; the block sums of x stay for others. */
  readonly nodes: readonly Node[]
}

/** Every product in the graph that {@link q41MatMul} wrote, whatever its tensors are called. */
export function findQ41(graph: Graph): Q41Match[] {
  const zeroPoints = new Set(graph.initializers.filter(isZeroPoint).map((t) => t.name))
  const producer = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)))
  const from = (name: string | undefined, opType: string): Node | undefined => {
    const node = name === undefined ? undefined : producer.get(name)
    return node?.opType === opType ? node : undefined
  }
  return graph.nodes.flatMap((sum) => {
    if (sum.opType !== 'Add') return []
    const fine = from(sum.inputs[0], 'MatMulNBits')
    const coarse = from(sum.inputs[1], 'MatMul')
    const turned = from(coarse?.inputs[1], 'Transpose')
    const offset = from(turned?.inputs[0], 'Add')
    const min = from(offset?.inputs[0], 'Cast')
    const lift = from(offset?.inputs[1], 'Mul')
    const scale = from(lift?.inputs[0], 'Cast')
    const sums = from(coarse?.inputs[0], 'ReduceSum')
    const blocks = from(sums?.inputs[0], 'Reshape')
    if (!fine || !coarse || !turned || !offset || !min || !lift || !scale || !blocks) return []
    const { bits, block_size: block, N: rows, K: columns } = Object.fromEntries(fine.attributes)
    const isPattern =
      isInt(bits, 4) &&
      isInt(block, q41BlockSize) &&
      fine.inputs.length === 3 &&
      fine.inputs[2] === scale.outputs[0] &&
      blocks.inputs[0] === fine.inputs[0]
    if (!isPattern || rows?.type !== 'int' || columns?.type !== 'int' || !zeroPoints.has(lift.inputs[1] ?? '')) return []
    const names = { quant: fine.inputs[1] as string, scale: scale.inputs[0] as string, min: min.inputs[0] as string }
    return {
      matrix: { ...names, rows: Number(rows.value), columns: Number(columns.value) },
      x: fine.inputs[0] as string,
      out: sum.outputs[0] as string,
      nodes: [scale, fine, min, lift, offset, turned, coarse, sum],
    }
  })
}

const isInt = (a: { type: string; value: unknown } | undefined, value: number) => a?.type === 'int' && a.value === BigInt(value)

function isZeroPoint({ dtype, data }: Tensor): boolean {
  if (dtype !== 'float32' || data.kind !== 'raw' || data.bytes.length !== 4) return false
  return new DataView(data.bytes.buffer, data.bytes.byteOffset, 4).getFloat32(0, true) === zeroPoint
}
