/**
 * The volunteer's SDK for pages of this site: `donate({server})` gives this browser's idle time. Call it after the person said
 * yes. Its compute worker is a file of the site's build; pages of other origins have package/volunteer.ts.
 */
import { donateBy } from './volunteer/in-page.ts'

export { removeStored, stored, type Stored } from './volunteer/stored-weights.ts'
export type {
  DonateOptions,
  Donation,
  DonationPhase,
  DonationState,
  PauseCause,
  PauseChoices,
  TabDonateOptions,
  TabDonation,
} from './types.ts'

/** Joins at once, unless another tab of this browser gives; what happens is told by the donation's `state` and `change` events. Never throws. */
export const donate = donateBy(
  () => new Worker(new URL('../worker/entry.ts', import.meta.url), { type: 'module', name: 'manyhands-stage' }),
)
