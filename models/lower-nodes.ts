/**
 * One node at a time: what takes its place where weights become f32. Nodes whose weights are not constants stay as they are.
 */
import type { Target } from './lower.ts'
import type { AxisLayout, IntegerType } from './lower-dequantize.ts'
import type { BlockZero, FloatConstant, WeightMaker } from './lower-weights.ts'
import { elementCountOf } from './onnx/element-types.ts'
import type { Attribute, Node, Tensor } from './onnx/model.ts'

/** Constants below this are left to the runtime, which folds them at no cost. Elements. */
const smallConstant = 1024

/** The nodes that take this one's place: none where a constant does; undefined where it stays. */
export function lowerNode(node: Node, maker: WeightMaker, target: Target): readonly Node[] | undefined {
  switch (node.opType) {
    case 'MatMulNBits':
      return lowerMatMulNBits(node, maker)
    case 'GatherBlockQuantized':
      return target === 'portable' ? lowerGather(node, maker) : undefined
    case 'DequantizeLinear':
      return lowerDequantizeLinear(node, maker)
    case 'Cast':
      return lowerCast(node, maker)
    case 'MatMul': {
      const matrix = maker.transposed(node.inputs[1])
      return matrix === undefined ? undefined : [fused(node, node.inputs[0] ?? '', matrix)]
    }
    default:
      return undefined
  }
}

/** x times a matrix [out, in], transposed: one kernel of ONNX Runtime, as fast as MatMul and without transposing weights. */
export function fused(node: Node, x: string, matrix: string, out: string = node.outputs[0] ?? ''): Node {
  return plain(node, 'FusedMatMul', 'com.microsoft', [x, matrix], out, [['transB', 1n]])
}

function plain(
  from: Node,
  opType: string,
  domain: string,
  inputs: readonly string[],
  out: string,
  ints: readonly (readonly [string, bigint])[],
): Node {
  const attributes = new Map<string, Attribute>(ints.map(([name, value]) => [name, { type: 'int', value }]))
  return { name: from.name, opType, domain, overload: '', inputs, outputs: [out], attributes }
}

function lowerMatMulNBits(node: Node, maker: WeightMaker): readonly Node[] | undefined {
  const [x, values, scales, zeros, order, bias] = node.inputs
  const quant = maker.initializer(values)
  const scale = maker.floats(scales)
  const bits = int(node, 'bits', 4)
  const layout = { bits, blockSize: int(node, 'block_size', 0), rows: int(node, 'N', 0), columns: int(node, 'K', 0) }
  if (!x || !quant || !scale?.isFloat32 || order || !isBlocks(layout)) return undefined
  const zero = zeros ? zeroOf(maker.initializer(zeros)) : 2 ** (bits - 1)
  const matrix = zero === undefined ? undefined : maker.blocks(quant, layout, scale, zero)
  if (matrix === undefined) return undefined
  const out = node.outputs[0] ?? ''
  if (!bias) return [fused(node, x, matrix)]
  return [fused(node, x, matrix, `${out}.unbiased`), plain(node, 'Add', '', [`${out}.unbiased`, bias], out, [])]
}

/** Zero points as bytes; floating ones (rare) are left to the runtime. */
const zeroOf = (tensor: Tensor | undefined): BlockZero | undefined => (tensor?.dtype === 'uint8' ? { packed: tensor } : undefined)

interface AnyBlocks {
  readonly bits: number
  readonly blockSize: number
  readonly rows: number
  readonly columns: number
}

function isBlocks(layout: AnyBlocks): layout is AnyBlocks & { bits: 4 | 8 } {
  const { bits, blockSize, rows, columns } = layout
  return (bits === 4 || bits === 8) && blockSize >= 2 && blockSize % 2 === 0 && rows > 0 && columns > 0
}

/** An embedding's table becomes f32, the one of a tied head where that reads the same bytes. */
function lowerGather(node: Node, maker: WeightMaker): readonly Node[] | undefined {
  const [values, ids, scales, zeros] = node.inputs
  const quant = maker.initializer(values)
  const scale = maker.floats(scales)
  const bits = int(node, 'bits', 4)
  const [rows = 0, width = 0] = quant?.dims ?? []
  const layout = { bits, blockSize: int(node, 'block_size', 128), rows, columns: (width * 8) / bits }
  const isTable =
    quant?.dtype === 'uint8' && quant.dims.length === 2 && int(node, 'gather_axis', 0) === 0 && int(node, 'quantize_axis', 1) === 1
  if (!ids || !quant || !scale?.isFloat32 || !isTable || !isBlocks(layout) || layout.columns % layout.blockSize !== 0) return undefined
  const zero = zeros ? zeroOf(maker.initializer(zeros)) : 2 ** (bits - 1)
  const table = zero === undefined ? undefined : maker.blocks(quant, layout, scale, zero)
  return table === undefined ? undefined : [plain(node, 'Gather', '', [table, ids], node.outputs[0] ?? '', [['axis', 0n]])]
}

function lowerDequantizeLinear(node: Node, maker: WeightMaker): readonly Node[] | undefined {
  const quant = maker.initializer(node.inputs[0])
  const scale = maker.floats(node.inputs[1])
  const zero = maker.initializer(node.inputs[2])
  if (!quant || !isInteger(quant.dtype) || !scale?.isFloat32 || (node.inputs[2] && zero?.dtype !== quant.dtype)) return undefined
  if (int(node, 'output_dtype', 1) > 1) return undefined
  if (elementCountOf(quant.dims) < smallConstant) return undefined
  const layout = axisLayout(node, quant, scale, zero)
  if (!layout) return undefined
  maker.replaceInteger(node.outputs[0] ?? '', quant, quant.dtype, layout, scale, zero)
  return []
}

function axisLayout(node: Node, quant: Tensor, scale: FloatConstant, zero: Tensor | undefined): AxisLayout | undefined {
  const { dims } = quant
  const scaleDims = scale.tensor.dims
  if (zero && zero.dims.join() !== scaleDims.join()) return undefined
  const scales = elementCountOf(scaleDims)
  if (scales === 1) return { outer: 1, axis: 1, inner: elementCountOf(dims), blockSize: 1, strides: [0, 0, 0] }
  const given = int(node, 'axis', 1)
  const at = given < 0 ? given + dims.length : given
  const axis = dims[at]
  if (axis === undefined) return undefined
  const outer = elementCountOf(dims.slice(0, at))
  const inner = elementCountOf(dims.slice(at + 1))
  if (scaleDims.length === 1) return scales === axis ? { outer, axis, inner, blockSize: 1, strides: [0, 1, 0] } : undefined
  const blockSize = int(node, 'block_size', 0)
  const blocks = Math.ceil(axis / blockSize)
  const isBlocked = blockSize > 0 && scaleDims.length === dims.length && dims.every((d, i) => scaleDims[i] === (i === at ? blocks : d))
  return isBlocked ? { outer, axis, inner, blockSize, strides: [blocks * inner, inner, 1] } : undefined
}

const isInteger = (dtype: string): dtype is IntegerType => ['int8', 'uint8', 'int4', 'uint4'].includes(dtype)

/** Weights kept in 16 bits. */
function lowerCast(node: Node, maker: WeightMaker): readonly Node[] | undefined {
  const weights = maker.floats(node.outputs[0])
  if (!weights || weights.type === 'float32' || elementCountOf(weights.tensor.dims) < smallConstant) return undefined
  maker.replaceFloats(node.outputs[0] ?? '', weights)
  return []
}

function int(node: Node, name: string, otherwise: number): number {
  const attribute = node.attributes.get(name)
  return attribute?.type === 'int' ? Number(attribute.value) : otherwise
}
