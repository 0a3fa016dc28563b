/** A server and volunteers as they are shipped, over WebRTC and all in this process, with a decoder that an answer of takes milliseconds. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLibrary } from '../models/library.ts'
import { donate, type Donation } from '../sdk/volunteer-node.ts'
import { startServer } from '../signaling-server/server.ts'
import { tinyLlama } from './tiny-llama.ts'

export interface TinyNetwork {
  readonly url: string
  /** The decoder's name. */
  readonly model: string
  readonly donations: readonly Donation[]
  close(): Promise<void>
}

/** @param volunteers each with the whole model, ready when this resolves */
export async function startTinyNetwork(volunteers: number): Promise<TinyNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-network-'))
  const model = 'tiny-llama'
  await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name: model })
  const server = await startServer({ data: folder, port: 0, stages: 1 })
  const donations = Array.from({ length: volunteers }, (_, n) =>
    donate({ server: server.url, models: [], maxMemory: 2 ** 28, threads: 1, weightsFolder: join(folder, `volunteer-${n}`) }),
  )
  const close = async () => {
    await Promise.all(donations.map((donation) => donation.stop('now')))
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
  await Promise.all(donations.map(serving))
  return { url: server.url, model, donations, close }
}

const serving = (donation: Donation) =>
  new Promise<void>((resolve) => {
    const look = () => {
      if (donation.state.phase === 'serving') resolve()
    }
    donation.addEventListener('change', look)
    look()
  })
