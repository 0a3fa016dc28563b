/** Numbers as cheaper formats would hold them, in place. */

/** To the nearest f16 (ties to even) and back. */
export function toHalf(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = half(values[i] as number)
}

function half(x: number): number {
  const magnitude = Math.abs(x)
  if (magnitude === 0 || !Number.isFinite(x)) return x
  // Ten bits after the leading one; below 2^-14 the steps stay as they are there.
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)))
  const step = 2 ** (exponent - 10)
  const steps = magnitude / step
  const floor = Math.floor(steps)
  const rest = steps - floor
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
  return Math.sign(x) * rounded * step
}

/** To 255 steps of each column's own size, and back. @param columns of the row-major matrix */
export function toInt8(values: Float32Array, columns: number): void {
  for (let column = 0; column < columns; column++) {
    let largest = 0
    for (let i = column; i < values.length; i += columns) largest = Math.max(largest, Math.abs(values[i] as number))
    const step = largest / 127 || 1
    for (let i = column; i < values.length; i += columns) values[i] = Math.round((values[i] as number) / step) * step
  }
}
