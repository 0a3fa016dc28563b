/**
 * A llama GGUF computed slowly and plainly in f64, straight from the file's own layout (interleaved rotation, blocks as
 * stored): nothing is shared with the importer but the header's parser, so that a mistake there can't hide here.
 */
import { parseGguf, type Gguf } from '../models/gguf.ts'

export interface ReferenceLlama {
  readonly vocab: number
  /** Feeds one token after those before; returns its logits. */
  step(id: number): Float64Array
  /** Tokens fed so far. */
  readonly held: number
}

/** The first `count` greedy tokens after `prompt`, fewer when one of `eos` comes (it is the last one then). */
export function referenceGreedy(file: Uint8Array, prompt: readonly number[], count: number, eos: readonly number[] = []): number[] {
  const llama = referenceLlama(file)
  let logits = new Float64Array()
  for (const id of prompt) logits = llama.step(id) as typeof logits
  const answer: number[] = []
  while (answer.length < count) {
    const id = largest(logits)
    answer.push(id)
    if (eos.includes(id)) break
    logits = llama.step(id) as typeof logits
  }
  return answer
}

export function referenceLlama(file: Uint8Array): ReferenceLlama {
  const gguf = parseGguf(file)
  const number = (key: string) => gguf.metadata.get(`llama.${key}`) as number
  const layers = number('block_count')
  const heads = number('attention.head_count')
  const kvHeads = number('attention.head_count_kv')
  const headDim = number('embedding_length') / heads
  const epsilon = number('attention.layer_norm_rms_epsilon')
  const base = number('rope.freq_base')
  const tensor = (name: string) => dequantize(file, gguf, `${name}.weight`)
  const embedding = tensor('token_embd')
  const head = gguf.tensors.has('output.weight') ? tensor('output') : embedding
  const outputNorm = tensor('output_norm').values
  const blocks = Array.from({ length: layers }, (_, i) => {
    const part = (name: string) => tensor(`blk.${i}.${name}`)
    return {
      attentionNorm: part('attn_norm').values,
      q: part('attn_q'),
      k: part('attn_k'),
      v: part('attn_v'),
      out: part('attn_output'),
      mlpNorm: part('ffn_norm').values,
      gate: part('ffn_gate'),
      up: part('ffn_up'),
      down: part('ffn_down'),
      keys: [] as Float64Array[],
      values: [] as Float64Array[],
    }
  })
  let held = 0

  const norm = (x: Float64Array, weights: Float64Array) => {
    let squares = 0
    for (const v of x) squares += v * v
    const scale = 1 / Math.sqrt(squares / x.length + epsilon)
    return x.map((v, i) => v * scale * (weights[i] as number))
  }
  const rotate = (x: Float64Array) => {
    for (let i = 0; i < x.length; i += 2) {
      const angle = held * base ** (-(i % headDim) / headDim)
      const [a, b] = [x[i] as number, x[i + 1] as number]
      x[i] = a * Math.cos(angle) - b * Math.sin(angle)
      x[i + 1] = a * Math.sin(angle) + b * Math.cos(angle)
    }
    return x
  }
  const attend = (q: Float64Array, keys: readonly Float64Array[], values: readonly Float64Array[]) => {
    const out = new Float64Array(q.length)
    for (let h = 0; h < heads; h++) {
      const at = h * headDim
      const kvAt = Math.floor(h / (heads / kvHeads)) * headDim
      const scores = keys.map((key) => {
        let sum = 0
        for (let i = 0; i < headDim; i++) sum += (q[at + i] as number) * (key[kvAt + i] as number)
        return sum / Math.sqrt(headDim)
      })
      const most = Math.max(...scores)
      const weights = scores.map((s) => Math.exp(s - most))
      const total = weights.reduce((a, b) => a + b, 0)
      values.forEach((value, p) => {
        for (let i = 0; i < headDim; i++)
          out[at + i] = (out[at + i] as number) + ((weights[p] as number) / total) * (value[kvAt + i] as number)
      })
    }
    return out
  }

  return {
    vocab: embedding.rows,
    get held() {
      return held
    },
    step(id) {
      let x = embedding.values.slice(id * embedding.columns, (id + 1) * embedding.columns)
      for (const block of blocks) {
        const normed = norm(x, block.attentionNorm)
        block.keys.push(rotate(multiply(block.k, normed)))
        block.values.push(multiply(block.v, normed))
        x = add(x, multiply(block.out, attend(rotate(multiply(block.q, normed)), block.keys, block.values)))
        const mlp = norm(x, block.mlpNorm)
        const up = multiply(block.up, mlp)
        const gated = multiply(block.gate, mlp).map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] as number))
        x = add(x, multiply(block.down, gated))
      }
      held++
      return multiply(head, norm(x, outputNorm))
    },
  }
}

export function largest(values: Float64Array | Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i
  return best
}

interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly values: Float64Array
}

function multiply(m: Matrix, x: Float64Array): Float64Array {
  const out = new Float64Array(m.rows)
  for (let r = 0; r < m.rows; r++) {
    let sum = 0
    for (let c = 0, at = r * m.columns; c < m.columns; c++, at++) sum += (m.values[at] as number) * (x[c] as number)
    out[r] = sum
  }
  return out
}

const add = (a: Float64Array, b: Float64Array) => a.map((v, i) => v + (b[i] as number))

/** A tensor's values as the format defines them, whatever ONNX makes of it. */
function dequantize(file: Uint8Array, gguf: Gguf, name: string): Matrix {
  const tensor = gguf.tensors.get(name)
  if (!tensor) throw new Error(`no tensor ${name}`)
  const [rows, columns] = tensor.dims.length === 1 ? [1, tensor.dims[0] as number] : [tensor.dims[0] as number, tensor.dims[1] as number]
  const view = new DataView(file.buffer, file.byteOffset + tensor.offset, tensor.bytes)
  const values = new Float64Array(rows * columns)
  const { blockElements, blockBytes, name: type } = tensor.type
  for (let b = 0; b < values.length / blockElements; b++) {
    const at = b * blockBytes
    for (let i = 0; i < blockElements; i++) values[b * blockElements + i] = element(view, type, at, i)
  }
  return { rows, columns, values }
}

function element(view: DataView, type: string, at: number, i: number): number {
  const nibble = (from: number) => (i < 16 ? view.getUint8(from + i) & 15 : view.getUint8(from + i - 16) >> 4)
  switch (type) {
    case 'F32':
      return view.getFloat32(at, true)
    case 'F16':
      return half(view.getUint16(at, true))
    case 'Q8_0':
      return half(view.getUint16(at, true)) * view.getInt8(at + 2 + i)
    case 'Q4_0':
      return half(view.getUint16(at, true)) * (nibble(at + 2) - 8)
    case 'Q4_1':
      return half(view.getUint16(at, true)) * nibble(at + 4) + half(view.getUint16(at + 2, true))
    default:
      throw new Error(`no ${type} in the reference`)
  }
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 0) return sign * mantissa * 2 ** -24
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}
