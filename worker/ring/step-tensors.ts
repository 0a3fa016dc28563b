/**
 * Token ids and logits between a frame's bytes and JS numbers, and which inputs of a model travel as feeds.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { packTensors, type TensorSpec, type TensorValue } from '../../protocol/tensors.ts'

/** What the ring and the prompt link carry: token ids for a decoder, else the feeds in the manifest's order. */
export const feedSpecs = (manifest: Manifest): TensorSpec[] =>
  manifest.inputs.filter((i) => i.role === 'feed' || i.role === 'tokens').map(({ name, dtype, shape }) => ({ name, dtype, shape }))

/** int64 [1, n]. */
export function writeTokens(ids: readonly number[]): TensorValue {
  return { dtype: 'int64', dims: [1, ids.length], bytes: new Uint8Array(BigInt64Array.from(ids, BigInt).buffer) }
}

/** A step of token ids, as the ring, the prompt and the answer carry them. */
export const packTokens = (ids: readonly number[]): Bytes => packTensors([writeTokens(ids)])

/** The ids of an int64 [1, rows] tensor. @throws ManyhandsError bad-message for another shape or an id outside the vocabulary */
export function readTokens(value: TensorValue, rows: number, vocab: number): number[] {
  if (value.dims.length !== 2 || value.dims[0] !== 1 || value.dims[1] !== rows) {
    throw new ManyhandsError('bad-message', `Token ids have shape [${value.dims.join(', ')}], not [1, ${rows}].`)
  }
  const view = new DataView(value.bytes.buffer, value.bytes.byteOffset, value.bytes.byteLength)
  const ids: number[] = []
  for (let i = 0; i < rows; i++) {
    const id = view.getBigInt64(8 * i, true)
    if (id < 0n || id >= BigInt(vocab)) throw new ManyhandsError('bad-message', `Token id ${id} is outside the vocabulary of ${vocab}.`)
    ids.push(Number(id))
  }
  return ids
}

/** The bytes as f32, without a copy where they are aligned. */
export function float32View(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}

/** Whether every float among the tensors is a finite number. */
export const allFinite = (values: readonly TensorValue[]): boolean =>
  values.every(({ dtype, bytes }) => dtype !== 'float32' || float32View(bytes).every((x) => x - x === 0))
