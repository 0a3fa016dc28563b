/**
 * The volunteer's SDK for a page: `donate({server})` gives this browser's idle time. Call it after the person said yes.
 */
import type { DonateOptions, Donation } from './types.ts'
import { VolunteerDonation } from './volunteer/donation.ts'
import { browserIdentity } from './volunteer/kept-identity.ts'
import { workerHost } from './volunteer/worker-host.ts'

export type { DonateOptions, Donation, DonationPhase, DonationState } from './types.ts'

/** Joins at once; what happens is told by the donation's `state` and `change` events. Never throws. */
export const donate = (options: DonateOptions): Donation => new VolunteerDonation(options, workerHost, browserIdentity)
