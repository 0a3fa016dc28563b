/**
 * A tiny sentence encoder for tests: imported as any model is, and a network whose sessions compute it whole in this process.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bertModel } from '../models/bert.ts'
import { besideOf } from '../models/beside.ts'
import { BlobFolder } from '../models/blob-store.ts'
import { bytesSource } from '../models/byte-source.ts'
import { createEncoderTokenizer } from '../models/encoder-tokenizer.ts'
import { openSession } from '../models/golden-engine.ts'
import { importModel } from '../models/import.ts'
import { writeModel } from '../models/onnx/write.ts'
import { parseSafetensors } from '../models/safetensors.ts'
import { revisionOf, type Embedding } from '../protocol/manifest.ts'
import { packTensors, unpackTensors, type TensorValue } from '../protocol/tensors.ts'
import type { Encoder } from '../sdk/requester/embed.ts'
import { runFeeds } from '../sdk/requester/run.ts'
import type { SessionSource } from '../sdk/requester/session-source.ts'
import { feedSpecs } from '../worker/ring/step-tensors.ts'
import type { TinyBert } from './tiny-bert.ts'
import type { ToldSession, ToldSessions } from './told-sessions.ts'

export interface TestEncoder extends Omit<Encoder, 'model'> {
  /** It, computed by that network's sessions, three at a time. */
  over(source: SessionSource): Encoder
  /** The model's states for a session's feeds. */
  compute(feeds: readonly TensorValue[]): Promise<TensorValue>
  close(): Promise<void>
}

export async function openEncoder({ weights, beside }: TinyBert): Promise<TestEncoder> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-encoder-'))
  const manifest = await importModel(weights, new BlobFolder(folder), { name: 'tiny-encoder', beside })
  await rm(folder, { recursive: true })
  const source = await bertModel(parseSafetensors(weights), bytesSource(weights), besideOf(beside))
  const { json, config } = source.tokenizer as NonNullable<typeof source.tokenizer>
  const external = new Map<string, Uint8Array>()
  for (const [location, part] of source.parts) external.set(location, await part.load())
  const session = await openSession(writeModel(source.model), external)
  const revision = await revisionOf(manifest)
  const encoder = { manifest, embedding: manifest.embedding as Embedding, tokenizer: createEncoderTokenizer(json, config) }
  return {
    ...encoder,
    over: (source) => ({
      ...encoder,
      model: { revision, places: 3, run: (feeds, options) => runFeeds(source, { revision, manifest }, feeds, options) },
    }),
    compute: async (feeds) => {
      const outputs = await session.run(new Map(feedSpecs(manifest).map(({ name }, i) => [name, feeds[i] as TensorValue])))
      return outputs.get('last_hidden_state') as TensorValue
    },
    close: () => session.close(),
  }
}

/** What a session was sent, as the model's inputs in order. */
export const feedsOf = ({ manifest }: TestEncoder, session: ToldSession): TensorValue[] =>
  unpackTensors(session.sent[0] as Uint8Array, feedSpecs(manifest))

/** The nth session does what volunteers do. */
export async function answer(encoder: TestEncoder, source: ToldSessions, n: number): Promise<ToldSession> {
  const session = await source.session(n)
  session.give(packTensors([await encoder.compute(feedsOf(encoder, session))]))
  session.end()
  return session
}
