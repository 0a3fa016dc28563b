/**
 * Rotary position embedding (RoFormer, arXiv 2104.09864) as two tables, cos and sin of [position, half a head]: computed in
 * f64 by the importer and shipped as weights, so that all peers rotate by the same bits.
 */
import type { LlamaConfig } from './llama-config.ts'
import type { LlamaWeights } from './llama-weights.ts'
import type { Bytes } from '../protocol/bytes.ts'

export async function rotaryTables(weights: LlamaWeights, config: LlamaConfig): Promise<{ cos: string; sin: string }> {
  const half = config.headDim / 2
  const factors = await weights.numbers('rope_freqs.weight', half)
  const frequencies = rotaryFrequencies(config, factors)
  const table = (name: string, of: (angle: number) => number) => {
    const load = async () => rotaryTable(config.context, frequencies, of)
    return weights.constant(name, 'float32', [config.context, half], { bytes: config.context * half * 4, load })
  }
  return { cos: table('rotary.cos', Math.cos), sin: table('rotary.sin', Math.sin) }
}

/** Radians a position, one for each pair of a head; `factors` are llama 3's divisors for long contexts. */
export function rotaryFrequencies(config: Pick<LlamaConfig, 'headDim' | 'ropeBase' | 'ropeDivisor'>, factors?: Float32Array): Float64Array {
  return Float64Array.from(
    { length: config.headDim / 2 },
    (_, i) => config.ropeBase ** ((-2 * i) / config.headDim) / (config.ropeDivisor * (factors?.[i] ?? 1)),
  )
}

function rotaryTable(positions: number, frequencies: Float64Array, of: (angle: number) => number): Bytes {
  const table = new Float32Array(positions * frequencies.length)
  for (let p = 0, at = 0; p < positions; p++) for (const f of frequencies) table[at++] = of(p * f)
  return new Uint8Array(table.buffer)
}
