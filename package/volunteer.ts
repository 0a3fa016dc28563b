/**
 * `manyhands/volunteer` for pages of any origin and any bundler: the compute worker's script is a string in here and starts
 * from a blob, since a browser starts workers from a page's own origin alone. The page's policy must allow `worker-src blob:`.
 */
import { donateBy } from '../sdk/volunteer/in-page.ts'
// Vite makes the default export.
// oxlint-disable-next-line import/default
import StageWorker from '../worker/entry.ts?worker&inline'

export { removeStored, stored, type Stored } from '../sdk/volunteer/stored-weights.ts'
export type {
  DonateOptions,
  Donation,
  DonationPhase,
  DonationState,
  PauseCause,
  PauseChoices,
  TabDonateOptions,
  TabDonation,
} from '../sdk/types.ts'

/**
 * Joins at once, unless another tab of this browser gives to the same site; what happens is told by the donation's `state` and `change`
 * events. Never throws. Call it after the person said yes.
 */
export const donate = donateBy(() => new StageWorker({ name: 'manyhands-stage' }))
