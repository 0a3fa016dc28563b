/**
 * A last stage's logits: the token chosen from a row, the hash that stands for it on the logits link, and the last rows
 * themselves, which audits across backends compare.
 */
import type { Bytes } from '../../protocol/bytes.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import { sampleToken, type Sampling } from '../../protocol/sampling.ts'
import { packTensors } from '../../protocol/tensors.ts'
import { float32View } from './step-tensors.ts'

const greedy: Sampling = { temperature: 0, topP: 1, seed: 0 }

/** The token at `position`. @param row f32 bytes, one number for each id of the vocabulary */
export const chooseToken = (row: Uint8Array, position: number, sampling: Sampling | null): number =>
  sampleToken(float32View(row), position, sampling ?? greedy)

/** A row of the logits link: its 32 bytes are what custody hashes. */
export async function packLogitsHash(row: Uint8Array): Promise<Bytes> {
  const bytes = await sha256Bytes(row)
  return packTensors([{ dtype: 'uint8', dims: [1, bytes.length], bytes }])
}

/** Tokens whose logits themselves are kept for sketches, and the bytes that they may take. */
const keptRows = 64
const keptBytes = 16 * 1024 * 1024

export class LastLogits {
  readonly #rows = new Map<number, Uint8Array>()

  /** The logits of the token at `position`. */
  add(position: number, row: Uint8Array): void {
    this.#rows.delete(position)
    this.#rows.set(position, row.slice())
    while (this.#rows.size > Math.min(keptRows, Math.max(1, Math.floor(keptBytes / row.length)))) {
      this.#rows.delete(this.#rows.keys().next().value as number)
    }
  }

  at(position: number): Uint8Array | undefined {
    return this.#rows.get(position)
  }
}
