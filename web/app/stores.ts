/**
 * The page's stores, made once and handed down by context.
 */
import { createContext } from 'svelte'
import { DonationStore } from './donation-store.svelte.ts'
import { NetworkStore } from './network-store.svelte.ts'
import { CheckingStore } from './playground/checking.svelte.ts'
import { ChatStore } from './playground/chat-store.svelte.ts'
import { ReadingStore } from './playground/reading-store.svelte.ts'
import { Router } from './router.svelte.ts'
import type { Sdk } from './sdk.ts'

export interface Stores {
  readonly sdk: Sdk
  readonly router: Router
  readonly donation: DonationStore
  readonly network: NetworkStore
  readonly checking: CheckingStore
  readonly chat: ChatStore
  readonly reading: ReadingStore
}

export function createStores(sdk: Sdk): Stores {
  const network = new NetworkStore(sdk)
  const checking = new CheckingStore()
  return {
    sdk,
    router: new Router(),
    donation: new DonationStore(sdk),
    network,
    checking,
    chat: new ChatStore(network, checking),
    reading: new ReadingStore(network, checking),
  }
}

export const [stores, provideStores] = createContext<Stores>()
