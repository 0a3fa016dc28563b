/**
 * Connected regions of a picture of yes and no, neighbours at corners included: by runs of pixels, row for row. Used by
 * find-text.ts.
 */
import type { Point } from './rectangle.ts'

/** Centres of the first and last pixel of each of the region's runs: all that its hull can be made of. */
export type Region = Point[]

/** Pixels x from `first` to `last` of one row. */
interface Run {
  readonly first: number
  readonly last: number
  /** Index of the region, or of one that has become part of another since. */
  readonly region: number
}

/** @param isSet whether the pixel at an index (row by row from the top left) belongs to a region */
export function regions(width: number, height: number, isSet: (at: number) => boolean): Region[] {
  const points: Region[] = []
  /** What a region has become part of; itself while it stands. */
  const parent: number[] = []
  const root = (region: number): number => {
    let at = region
    while (parent[at] !== at) at = parent[at] = parent[parent[at] as number] as number
    return at
  }
  const join = (a: number, b: number): number => {
    const [into, from] = [root(a), root(b)].sort((p, q) => p - q) as [number, number]
    if (into !== from) parent[from] = into
    return into
  }
  let above: Run[] = []
  for (let y = 0; y < height; y++) {
    const runs: Run[] = []
    let candidate = 0
    for (let x = 0; x < width; x++) {
      if (!isSet(y * width + x)) continue
      const first = x
      while (x + 1 < width && isSet(y * width + x + 1)) x++
      while (candidate < above.length && (above[candidate] as Run).last < first - 1) candidate++
      let region = -1
      for (let i = candidate; i < above.length && (above[i] as Run).first <= x + 1; i++) {
        const touched = (above[i] as Run).region
        region = region < 0 ? root(touched) : join(region, touched)
      }
      if (region < 0) {
        region = parent.length
        parent.push(region)
        points.push([])
      }
      runs.push({ first, last: x, region })
      points[region]?.push({ x: first + 0.5, y: y + 0.5 }, { x: x + 0.5, y: y + 0.5 })
    }
    above = runs
  }
  for (const [region, of] of points.entries()) {
    const into = root(region)
    // Parts were pushed before the regions that they are part of were known; a loop, since a spread has a limit of arguments.
    if (into !== region) for (const point of of) points[into]?.push(point)
  }
  return points.filter((_, region) => parent[region] === region)
}
