/**
 * A server and volunteers as they are shipped, over WebRTC and all in this process, with a decoder and a sentence encoder so small
 * that what they are asked takes milliseconds.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLibrary } from '../models/library.ts'
import { donate, type Donation } from '../sdk/volunteer-node.ts'
import { startServer } from '../signaling-server/server.ts'
import { tinyBert } from './tiny-bert.ts'
import { tinyLlama } from './tiny-llama.ts'

export interface TinyNetwork {
  readonly url: string
  readonly donations: readonly Donation[]
  close(): Promise<void>
}

/** What the decoder is made of. */
export const tinyModel = { layers: 2 }
export const tinyDecoder = 'tiny-llama'
export const tinyEncoder = 'tiny-bert'

/** @param volunteers the models that they serve, one each and all of it; ready when this resolves */
export async function startTinyNetwork(volunteers: readonly string[]): Promise<TinyNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-network-'))
  const library = openLibrary(folder)
  await library.addFile(tinyLlama(tinyModel), { name: tinyDecoder })
  const { weights, beside } = tinyBert()
  await library.addFile(weights, { name: tinyEncoder, beside })
  const server = await startServer({ data: folder, port: 0, stages: 1 })
  const donations = volunteers.map((model, n) =>
    donate({ server: server.url, models: [model], maxMemory: 2 ** 28, threads: 1, weightsFolder: join(folder, `volunteer-${n}`) }),
  )
  const close = async () => {
    await Promise.all(donations.map((donation) => donation.stop('now')))
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
  await Promise.all(donations.map(serving))
  return { url: server.url, donations, close }
}

const serving = (donation: Donation) =>
  new Promise<void>((resolve) => {
    const look = () => {
      if (donation.state.phase === 'serving') resolve()
    }
    donation.addEventListener('change', look)
    look()
  })
