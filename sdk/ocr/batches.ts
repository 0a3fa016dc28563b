/** Lines that are read in one run: of like width, so that little of it is padding, and few enough that volunteers share them out. */

/** A model of 6,625 characters answers with 3.3 kB for each column: four megabytes, some seconds of a home's uplink. */
const mostColumns = 1280
const mostLines = 8
/** Of a batch's width, what a line takes at least. */
const leastShare = 0.75

/** @param widths of the lines' feeds @returns the lines' places, batch by batch, the widest first */
export function batchesOf(widths: readonly number[]): number[][] {
  const order = widths.map((_, i) => i).sort((a, b) => (widths[b] as number) - (widths[a] as number) || a - b)
  const batches: number[][] = []
  for (const line of order) {
    const batch = batches.at(-1)
    const width = widths[batch?.[0] ?? line] as number
    const fits =
      batch && batch.length < mostLines && (batch.length + 1) * width <= mostColumns && (widths[line] as number) >= leastShare * width
    if (fits) batch.push(line)
    else batches.push([line])
  }
  return batches
}

/** So many at a time, in their order: of what is all of one width. */
export function chunksOf(count: number): number[][] {
  return Array.from({ length: Math.ceil(count / mostLines) }, (_, i) =>
    Array.from({ length: Math.min(mostLines, count - i * mostLines) }, (_, k) => i * mostLines + k),
  )
}
