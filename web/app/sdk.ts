/**
 * The only place where the page meets the SDK, and only when it is wanted: each part is its own chunk, fetched at the
 * first click that needs it.
 */
import type { ConnectOptions, DonateOptions, Donation, Network } from '../../sdk/types.ts'

export interface Sdk {
  connect(options: ConnectOptions): Promise<Network>
  donate(options: DonateOptions): Promise<Donation>
}

export const sdk: Sdk = {
  connect: async (options) => (await import('../../sdk/index.ts')).connect(options),
  donate: async (options) => (await import('../../sdk/volunteer.ts')).donate(options),
}
