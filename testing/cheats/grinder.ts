/**
 * Knows the rule by which sketches are made, and believes that the seed is always zeros: it moves its rows where that seed's
 * sketch does not see it. A seed that nobody knows before the commitment sees it.
 */
import { sketchRows } from '../../protocol/sketch.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import { changing } from './stages.ts'

/** Relative size of what it changes. */
const size = 1e-3
const seed = new Uint8Array(32)

export const grinder = changing((output, { position }) => ({
  ...output,
  outputs: output.outputs.map((value) => (value.dtype === 'float32' ? ground(value, position) : value)),
}))

/** Of each row two columns with the same four signs: one goes up by as much as the other goes down. */
function ground(value: TensorValue, position: number): TensorValue {
  const values = new Float32Array(value.bytes.slice().buffer)
  const width = value.dims.at(-1) ?? 1
  for (let row = 0; row * width < values.length; row++) {
    const at = row * width
    const norm = Math.hypot(...values.subarray(at, at + width))
    const twin = twins(width, position + row)
    if (!twin) continue
    values[at + twin[0]] = (values[at + twin[0]] as number) + size * norm
    values[at + twin[1]] = (values[at + twin[1]] as number) - size * norm
  }
  return { ...value, bytes: new Uint8Array(values.buffer) }
}

function twins(width: number, position: number): readonly [number, number] | undefined {
  const seen = new Map<string, number>()
  for (let column = 0; column < width; column++) {
    const unit = new Float32Array(width)
    unit[column] = 1
    const signs = [...sketchRows(unit, width, seed, { position })].map(Math.sign).join()
    const other = seen.get(signs)
    if (other !== undefined) return [other, column]
    seen.set(signs, column)
  }
  return undefined
}
