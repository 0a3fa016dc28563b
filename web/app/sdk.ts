/**
 * The only place where the page meets the SDK, and only when it is wanted: each part is its own chunk, fetched at the
 * first click that needs it.
 */
import type { ConnectOptions, Network, TabDonateOptions, TabDonation } from '../../sdk/types.ts'
import type { Stored } from '../../sdk/volunteer/stored-weights.ts'

export interface Sdk {
  connect(options: ConnectOptions): Promise<Network>
  donate(options: TabDonateOptions): Promise<TabDonation>
  /** What giving has left on this device. */
  stored(): Promise<Stored>
  removeStored(options?: { readonly identity?: boolean }): Promise<void>
  /** Ids of this browser that are kept: what they gave, the server knows. */
  keptPeers(): Promise<readonly string[]>
}

export const sdk: Sdk = {
  connect: async (options) => (await import('../../sdk/index.ts')).connect(options),
  donate: async (options) => (await import('../../sdk/volunteer.ts')).donate(options),
  stored: async () => (await import('../../sdk/volunteer.ts')).stored(),
  removeStored: async (options) => (await import('../../sdk/volunteer.ts')).removeStored(options),
  keptPeers: async () => (await import('../../sdk/volunteer/kept-identity.ts')).keptPeers(),
}
