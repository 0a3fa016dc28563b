/**
 * A tiny llama GGUF from a seed: the same formats, tokenizer and chat template as a real chat model's, random weights.
 * It says nothing sensible, but says it deterministically, and importing it takes a fraction of a second.
 */
import type { Bytes } from '../protocol/bytes.ts'
import { writeGguf, type GgufEntry, type GgufTensorToWrite } from './gguf-writer.ts'

export interface TinyLlamaOptions {
  readonly seed?: number
  readonly layers?: number
  /** A multiple of 32. */
  readonly hidden?: number
  readonly heads?: number
  readonly kvHeads?: number
  /** A multiple of 32. */
  readonly ffn?: number
  readonly context?: number
  /** Format of the matrices. */
  readonly matrices?: 'Q4_1' | 'Q4_0' | 'Q8_0' | 'F16' | 'F32'
  readonly embedding?: 'Q8_0' | 'F16' | 'F32'
  /** With its own output matrix instead of the embedding again. */
  readonly untied?: boolean
}

export const tinyVocab = 320
/** `<|im_end|>`, which ends an answer. */
export const tinyEos = 2

const typeNumbers = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 8 } as const
type Format = keyof typeof typeNumbers

/** A GGUF file of about 0.2 MB. Token ids 0 to 2 are control tokens, 3 to 258 single bytes, the rest merges. */
export function tinyLlama(options: TinyLlamaOptions = {}): Bytes {
  const { seed = 1, layers = 4, hidden = 64, heads = 4, kvHeads = 2, ffn = 128, context = 512 } = options
  const { matrices = 'Q4_1', embedding = 'Q8_0', untied = false } = options
  const random = mulberry32(seed)
  const kvSize = (hidden / heads) * kvHeads
  const matrix = (name: string, rows: number, columns: number, format: Format = matrices): GgufTensorToWrite => ({
    name: `${name}.weight`,
    type: typeNumbers[format],
    dims: [rows, columns],
    bytes: randomMatrix(random, rows, columns, format),
  })
  const norm = (name: string): GgufTensorToWrite => ({
    name: `${name}.weight`,
    type: typeNumbers.F32,
    dims: [hidden],
    bytes: new Uint8Array(Float32Array.from({ length: hidden }, () => 0.75 + random() / 2).buffer),
  })
  const tensors = [matrix('token_embd', tinyVocab, hidden, embedding)]
  for (let i = 0; i < layers; i++) {
    const blk = `blk.${i}`
    tensors.push(norm(`${blk}.attn_norm`), matrix(`${blk}.attn_q`, hidden, hidden), matrix(`${blk}.attn_k`, kvSize, hidden))
    tensors.push(matrix(`${blk}.attn_v`, kvSize, hidden), matrix(`${blk}.attn_output`, hidden, hidden), norm(`${blk}.ffn_norm`))
    tensors.push(matrix(`${blk}.ffn_gate`, ffn, hidden), matrix(`${blk}.ffn_up`, ffn, hidden), matrix(`${blk}.ffn_down`, hidden, ffn))
  }
  tensors.push(norm('output_norm'))
  if (untied) tensors.push(matrix('output', tinyVocab, hidden))

  const entries: GgufEntry[] = [
    { key: 'general.architecture', type: 'text', value: 'llama' },
    { key: 'general.name', type: 'text', value: 'Tiny llama' },
    { key: 'general.license', type: 'text', value: 'apache-2.0' },
    { key: 'llama.block_count', type: 'u32', value: layers },
    { key: 'llama.context_length', type: 'u32', value: context },
    { key: 'llama.embedding_length', type: 'u32', value: hidden },
    { key: 'llama.feed_forward_length', type: 'u32', value: ffn },
    { key: 'llama.attention.head_count', type: 'u32', value: heads },
    { key: 'llama.attention.head_count_kv', type: 'u32', value: kvHeads },
    { key: 'llama.rope.freq_base', type: 'f32', value: 10_000 },
    { key: 'llama.attention.layer_norm_rms_epsilon', type: 'f32', value: 1e-5 },
    ...tinyTokenizer(),
  ]
  return writeGguf(entries, tensors)
}

const template =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** Frequent pairs of English, each made of what comes before it; Ġ is a space. */
const merges =
  'Ġ t,h e,i n,Ġ a,r e,o n,Ġt he,e r,Ġ s,a t,o u,e n,i s,n d,Ġ w,o r,Ġ o,i t,a n,in g,Ġ c,e s,Ġ b,e d,Ġ f,Ġ m,Ġ p,Ġo f,a r,Ġ in,' +
  'Ġ d,Ġt o,Ġa nd,i c,Ġ h,l l,a s,l e,Ġt h,Ġ l,o m,r o,e l,s t,Ġ n,i on,Ġ g,v e,Ġ e,i l,Ġ re,o t,e t,u t,Ġ is,Ġ y,Ġy ou,Ġb e,o w,Ġ it,i d'

function tinyTokenizer(): GgufEntry[] {
  const made = merges.split(',')
  const tokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ...byteAlphabet(), ...made.map((pair) => pair.replace(' ', ''))]
  return [
    { key: 'tokenizer.ggml.model', type: 'text', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'text', value: 'smollm' },
    { key: 'tokenizer.ggml.tokens', type: 'texts', value: tokens },
    { key: 'tokenizer.ggml.token_type', type: 'i32s', value: tokens.map((_, id) => (id <= tinyEos ? 3 : 1)) },
    { key: 'tokenizer.ggml.merges', type: 'texts', value: made },
    { key: 'tokenizer.ggml.bos_token_id', type: 'u32', value: 1 },
    { key: 'tokenizer.ggml.eos_token_id', type: 'u32', value: tinyEos },
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: false },
    { key: 'tokenizer.chat_template', type: 'text', value: template },
  ]
}

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteAlphabet(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    return String.fromCharCode(printable ? byte : next++)
  })
}

/** Values of a deviation near 1 / sqrt(columns), so that activations keep their size. Scales are made as f16 bits: always exact. */
function randomMatrix(random: () => number, rows: number, columns: number, format: Format): Bytes {
  const deviation = 1 / Math.sqrt(columns)
  if (format === 'F32')
    return new Uint8Array(Float32Array.from({ length: rows * columns }, () => (random() - 0.5) * 3.46 * deviation).buffer)
  if (format === 'F16')
    return new Uint8Array(Uint16Array.from({ length: rows * columns }, () => halfNear(random, deviation, random() < 0.5)).buffer)
  const nibbles = format !== 'Q8_0'
  const headerBytes = format === 'Q4_1' ? 4 : 2
  const stride = headerBytes + (nibbles ? 16 : 32)
  const out = new Uint8Array(((rows * columns) / 32) * stride)
  const view = new DataView(out.buffer)
  // A uniform step of 16 has a deviation of 4.6 steps, one of 256 a deviation of 74.
  const step = deviation / (nibbles ? 4.6 : 74)
  for (let at = 0; at < out.length; at += stride) {
    view.setUint16(at, halfNear(random, step, false), true)
    if (format === 'Q4_1') view.setUint16(at + 2, halfNear(random, 7.5 * step, true), true)
    for (let i = headerBytes; i < stride; i++) out[at + i] = Math.floor(random() * 256)
  }
  return out
}

/** Bits of an f16 within a factor of two of `size`. */
function halfNear(random: () => number, size: number, negative: boolean): number {
  const exponent = Math.floor(Math.log2(size)) + 15
  return (negative ? 0x8000 : 0) | (exponent << 10) | Math.floor(random() * 1024)
}

/** A small seeded generator (Tommy Ettinger's mulberry32): uniform in [0, 1). */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
