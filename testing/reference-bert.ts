/**
 * A BERT computed slowly and plainly in f64, straight from its file: nothing is shared with the importer but the header's
 * parser, so that a mistake there can't hide here. One text at a time, so that no padding is ever looked at.
 */
import { parseSafetensors } from '../models/safetensors.ts'
import { fromUtf8 } from '../protocol/bytes.ts'
import type { TinyBert } from './tiny-bert.ts'

export interface ReferenceBert {
  /** The last layer's vector of each token. */
  states(ids: readonly number[]): Float64Array[]
}

interface Config {
  readonly hidden_size: number
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly layer_norm_eps?: number
}

export function referenceBert({ weights, beside }: TinyBert): ReferenceBert {
  const config = JSON.parse(fromUtf8(beside['config.json'] as Uint8Array)) as Config
  const { tensors } = parseSafetensors(weights)
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon = 1e-12 } = config
  const headDim = hidden / heads
  const view = new DataView(weights.buffer, weights.byteOffset)
  const read = new Map<string, Float64Array>()
  const tensor = (name: string): Float64Array => {
    const known = read.get(name)
    if (known) return known
    const found = tensors.get(name) ?? tensors.get(`bert.${name}`)
    if (!found) throw new Error(`no tensor ${name}`)
    const size = found.type === 'F32' ? 4 : 2
    const values = Float64Array.from({ length: found.bytes / size }, (_, i) => element(view, found.type, found.offset + size * i))
    read.set(name, values)
    return values
  }
  const row = (table: Float64Array, i: number) => table.subarray(i * hidden, (i + 1) * hidden)
  const linear = (name: string, x: Float64Array) => {
    const matrix = tensor(`${name}.weight`)
    return tensor(`${name}.bias`).map((bias, r) => x.reduce((sum, v, c) => sum + v * (matrix[r * x.length + c] as number), bias))
  }
  const norm = (name: string, x: Float64Array) => {
    const mean = x.reduce((a, b) => a + b, 0) / x.length
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length
    const [scale, bias] = [tensor(`${name}.LayerNorm.weight`), tensor(`${name}.LayerNorm.bias`)]
    return x.map((v, i) => ((v - mean) / Math.sqrt(variance + epsilon)) * (scale[i] as number) + (bias[i] as number))
  }
  const add = (a: Float64Array, b: Float64Array) => a.map((v, i) => v + (b[i] as number))

  return {
    states(ids) {
      const [words, places, types] = ['word', 'position', 'token_type'].map((kind) => tensor(`embeddings.${kind}_embeddings.weight`)) as [
        Float64Array,
        Float64Array,
        Float64Array,
      ]
      let xs = ids.map((id, i) => norm('embeddings', add(add(row(words, id), row(places, i)), row(types, 0))))
      for (let layer = 0; layer < config.num_hidden_layers; layer++) {
        const name = `encoder.layer.${layer}`
        const [qs, ks, vs] = ['query', 'key', 'value'].map((part) => xs.map((x) => linear(`${name}.attention.self.${part}`, x))) as [
          Float64Array[],
          Float64Array[],
          Float64Array[],
        ]
        const attended = xs.map((x, i) => {
          const seen = attend(qs[i] as Float64Array, ks, vs, headDim)
          return norm(`${name}.attention.output`, add(linear(`${name}.attention.output.dense`, seen), x))
        })
        xs = attended.map((x) => {
          const wide = linear(`${name}.intermediate.dense`, x).map((v) => 0.5 * v * (1 + erf(v / Math.SQRT2)))
          return norm(`${name}.output`, add(linear(`${name}.output.dense`, wide), x))
        })
      }
      return xs
    },
  }
}

function attend(q: Float64Array, ks: readonly Float64Array[], vs: readonly Float64Array[], headDim: number): Float64Array {
  const out = new Float64Array(q.length)
  for (let at = 0; at < q.length; at += headDim) {
    const scores = ks.map((k) => {
      let sum = 0
      for (let i = at; i < at + headDim; i++) sum += (q[i] as number) * (k[i] as number)
      return Math.exp(sum / Math.sqrt(headDim))
    })
    const total = scores.reduce((a, b) => a + b, 0)
    for (const [p, v] of vs.entries())
      for (let i = at; i < at + headDim; i++) out[i] = (out[i] as number) + ((scores[p] as number) / total) * (v[i] as number)
  }
  return out
}

/** Its Taylor series near 0; past 3 one less Legendre's continued fraction. */
function erf(x: number): number {
  const size = Math.abs(x)
  if (size > 3) {
    let fraction = 0
    for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction)
    return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * (size + fraction)))
  }
  let term = x
  let sum = x
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

function element(view: DataView, type: string, at: number): number {
  if (type === 'F32') return view.getFloat32(at, true)
  const bits = view.getUint16(at, true)
  if (type === 'BF16') {
    const word = new DataView(new ArrayBuffer(4))
    word.setUint32(0, bits * 65_536)
    return word.getFloat32(0)
  }
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}
