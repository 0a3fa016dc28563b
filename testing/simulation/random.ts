/**
 * Seeded chance for tests and the simulation: the same seed gives the same run on every machine.
 */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number
  /** Standard normal. */
  normal(): number
  /** With this mean. */
  exponential(mean: number): number
  /** Whole, in [0, below). */
  below(below: number): number
}

/** xoshiro128**, its state filled by a mixed counter. */
export function createRandom(seed: number): Random {
  let [a, b, c, d] = [1, 2, 3, 4].map((i) => mix((seed ^ Math.imul(i, 0x9e3779b9)) >>> 0)) as [number, number, number, number]
  const word = () => {
    const x = Math.imul(b, 5)
    const result = Math.imul((x << 7) | (x >>> 25), 9)
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << 11) | (d >>> 21)
    return result >>> 0
  }
  const uniform = () => word() / 4294967296
  return {
    uniform,
    // 1 - u is never 0.
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    exponential: (mean) => -mean * Math.log(1 - uniform()),
    below: (below) => Math.floor(uniform() * below),
  }
}

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
