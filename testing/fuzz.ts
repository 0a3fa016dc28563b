/**
 * Seeded fuzzing: run i is the same bytes on every machine. MANYHANDS_FUZZ sets how many runs (100,000 in CI, 1,000,000 by hand).
 */
export const fuzzRuns = Number(process.env['MANYHANDS_FUZZ'] ?? 100_000)

/** A small seeded generator (splitmix32): uniform integers below a bound. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) % below
  }
}

/** Run `i`: one of the seeds with a few bytes changed, cut short or lengthened; every eighth run is random bytes. Changes fall on the first `reach` bytes. */
export function mutate(seeds: readonly Uint8Array[], i: number, reach = 256): Uint8Array<ArrayBuffer> {
  const random = seededRandom(i)
  if (i % 8 === 0) return Uint8Array.from({ length: random(200) }, () => random(256))
  const seed = seeds[random(seeds.length)] as Uint8Array
  const length = random(4) === 0 ? random(seed.length + 1) : seed.length
  const bytes = new Uint8Array(length + (random(8) === 0 ? random(16) : 0))
  bytes.set(seed.subarray(0, length))
  for (let n = random(6); n > 0 && bytes.length > 0; n--) bytes[random(Math.min(bytes.length, reach))] = random(2) === 0 ? random(256) : 255
  return bytes
}

/** What a field may suddenly hold. */
const odd: readonly unknown[] = [
  null,
  true,
  '',
  'x'.repeat(2000),
  '\ud800',
  '__proto__',
  0,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e308,
  [],
  {},
  [[]],
  { length: -1 },
]

/** Run `i` of a JSON value: one to three places in it changed, dropped, repeated or swapped with another of its own. */
export function mutateJson(value: unknown, i: number): unknown {
  const random = seededRandom(i)
  const root: { value: unknown } = { value: structuredClone(value) }
  for (let n = 1 + random(3); n > 0; n--) {
    const places: (readonly [holder: Record<string, unknown>, key: string])[] = []
    const visit = (holder: Record<string, unknown>): void => {
      for (const [key, inner] of Object.entries(holder)) {
        places.push([holder, key])
        if (typeof inner === 'object' && inner !== null) visit(inner as Record<string, unknown>)
      }
    }
    visit(root)
    const [here, there] = [places[random(places.length)], places[random(places.length)]]
    // The whole value was dropped.
    if (!here || !there) return undefined
    const [holder, key] = here
    const [other, otherKey] = there
    switch (random(5)) {
      case 0:
        delete holder[key]
        break
      case 1:
        holder[`${key}${random(3)}`] = holder[key]
        break
      case 2:
        holder[key] = structuredClone(other[otherKey])
        break
      default:
        holder[key] = structuredClone(odd[random(odd.length)])
    }
  }
  return root.value
}
