/** Networks that several specs share, started when a test first asks for them. */
import { test as base } from '@playwright/test'
import { connect } from '../../sdk/node.ts'
import type { Network } from '../../sdk/types.ts'
import { catalogueModel, sharedLibrary, startNetwork, type TestNetwork } from './network.ts'

interface Shared {
  /** SmolLM2 in three stages, in three browsers. */
  readonly chat: TestNetwork
  /** PP-OCR's recognition in three stages, in three browsers. */
  readonly reading: TestNetwork
}

interface Own {
  /** A requester of `chat`'s network, in this process. */
  readonly asking: Network
}

/** Fetching a model, and three browsers that load it. */
const startMs = 600_000

async function overThreeTabs(name: string, use: (network: TestNetwork) => Promise<void>): Promise<void> {
  const network = await startNetwork({ model: await catalogueModel(name), library: sharedLibrary, volunteers: ['tab', 'tab', 'tab'] })
  try {
    await use(network)
  } finally {
    await network.close()
  }
}

export const test = base.extend<Own, Shared>({
  chat: [async ({}, use) => overThreeTabs('smollm2-135m-instruct', use), { scope: 'worker', timeout: startMs }],
  reading: [async ({}, use) => overThreeTabs('pp-ocrv4-rec', use), { scope: 'worker', timeout: startMs }],
  asking: async ({ chat }, use) => {
    const network = await connect({ server: chat.url })
    await use(network)
    await network.close()
  },
})
export { expect } from '@playwright/test'
