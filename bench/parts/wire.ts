/** Bytes on the activation links against the bytes of the tensors that they carry. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNetwork } from '../../e2e/harness/network.ts'
import type { LibraryModel } from '../../models/library.ts'
import { connect } from '../../sdk/node.ts'
import type { Donation } from '../../sdk/types.ts'
import { donate } from '../../sdk/volunteer-node.ts'
import { promise, type Part } from '../report.ts'

const answerTokens = 128
const stages = 3
const servingMs = 300_000

export async function wire(model: LibraryModel, library: string): Promise<Part> {
  const network = await startNetwork({ model, library, stages, volunteers: [] })
  const weightsFolder = await mkdtemp(join(tmpdir(), 'manyhands-weights-'))
  const donations: Donation[] = []
  try {
    // In this process, where their counters can be read to the byte; one after the other, so that the first has the first stage.
    for (let i = 0; i < stages; i++) {
      const donation = donate({ server: network.url, weightsFolder, threads: 1 })
      donations.push(donation)
      await until(donation, (state) => state.blocks !== undefined)
    }
    for (const donation of donations) await until(donation, (state) => state.phase === 'serving')
    const asking = await connect({ server: network.url })
    const rowsOf = async () => {
      const { promptTokens, tokenIds } = await asking.generate(model.revision, [{ role: 'user', content: 'Tell me a long story.' }], {
        maxTokens: answerTokens,
      })
      // The last token is not computed any further.
      return promptTokens + tokenIds.length - 1
    }
    // The first answer makes the connections; the second is the one that counts.
    await rowsOf()
    await settled(donations)
    const before = donations.map((donation) => donation.state.sentBytes)
    const rows = await rowsOf()
    await settled(donations)
    const sent = donations.map((donation, i) => donation.state.sentBytes - (before[i] as number))
    await asking.close()
    const bytesOf = (stage: number): number => {
      const end = donations[stage]?.state.blocks?.[1] ?? 0
      const tensors = model.manifest.cuts[end - 1]?.tensors ?? []
      return rows * tensors.reduce((sum, tensor) => sum + 4 * Number(tensor.shape.at(-1)), 0)
    }
    const links = [0, 1].map((stage) => ({ stage, sent: sent[stage] as number, tensors: bytesOf(stage) }))
    const worst = Math.max(...links.map((link) => link.sent / link.tensors))
    return {
      title: 'Bytes on the wire',
      how: `One answer over three stages, ${rows} rows. All that a stage sent: tensors with their frames, signatures, acknowledgements and heartbeats.`,
      head: ['link', 'sent, bytes', 'tensors, bytes', 'ratio'],
      rows: links.map(({ stage, sent: all, tensors }) => [
        `stage ${stage + 1} to ${stage + 2}`,
        String(all),
        String(tensors),
        (all / tensors).toFixed(3),
      ]),
      promises: [promise('activation links carry at most 1.05 x their tensors', worst, worst <= 1.05, 3)],
    }
  } finally {
    for (const donation of donations) await donation.stop('now')
    await network.close()
    await rm(weightsFolder, { recursive: true, force: true })
  }
}

function until(donation: Donation, holds: (state: Donation['state']) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`a volunteer does not serve: ${donation.state.phase}, ${donation.state.reason}`)),
      servingMs,
    )
    const look = () => {
      if (!holds(donation.state)) return
      clearTimeout(timer)
      donation.removeEventListener('change', look)
      resolve()
    }
    donation.addEventListener('change', look)
    look()
  })
}

/** Until each has said the last of it: counters are told once a second. */
const settled = (donations: readonly Donation[]) =>
  Promise.all(
    donations.map(
      (donation) =>
        new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 2_000)
          donation.addEventListener('change', () => timer.refresh())
        }),
    ),
  )
