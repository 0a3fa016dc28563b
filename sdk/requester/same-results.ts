/**
 * Whether two pipelines came to the same results: to the bit where both computed on wasm, which is exact for everyone; else
 * within what honest graphics processors differ by. Pure.
 */
import type { Backend } from '../../protocol/ticket.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import { float32View } from '../../worker/ring/step-tensors.ts'

/** Relative L2 of a whole result. Ten times what honest backends differ by at a model's end, a tenth of what rounded weights do. */
const tolerance = 1e-4

export interface Results {
  readonly values: readonly TensorValue[]
  /** Of the stages that computed them. */
  readonly backends: readonly Backend[]
}

export function sameResults(a: Results, b: Results): boolean {
  const exact = [...a.backends, ...b.backends].every((backend) => backend === 'wasm')
  return a.values.length === b.values.length && a.values.every((value, i) => same(value, b.values[i] as TensorValue, exact))
}

function same(a: TensorValue, b: TensorValue, exact: boolean): boolean {
  if (a.dtype !== b.dtype || a.dims.length !== b.dims.length || a.dims.some((size, i) => size !== b.dims[i])) return false
  if (a.bytes.length === b.bytes.length && a.bytes.every((byte, i) => byte === b.bytes[i])) return true
  return !exact && a.dtype === 'float32' && distance(float32View(a.bytes), float32View(b.bytes)) <= tolerance
}

/** |a - b| by the larger of the two: the same whichever way round. */
function distance(a: Float32Array, b: Float32Array): number {
  let [apart, ofA, ofB] = [0, 0, 0]
  a.forEach((x, i) => {
    const y = b[i] ?? 0
    apart += (x - y) ** 2
    ofA += x * x
    ofB += y * y
  })
  return Math.sqrt(apart / Math.max(ofA, ofB))
}
