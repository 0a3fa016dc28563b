/** What volunteering from a page is, whoever built it: the site and the package each bring their own way to start the compute worker. */
import type { TabDonateOptions, TabDonation } from '../types.ts'
import { VolunteerDonation } from './donation.ts'
import { browserIdentity } from './kept-identity.ts'
import { tabPorts, TabVolunteer } from './tab-donation.ts'
import { workerHost } from './worker-host.ts'

/** @param startWorker starts worker/entry.ts; called once for each assignment */
export const donateBy =
  (startWorker: () => Worker) =>
  (options: TabDonateOptions): TabDonation => {
    const start = (own: TabDonateOptions) => new VolunteerDonation(own, () => workerHost(startWorker()), browserIdentity)
    return new TabVolunteer(options, { ...tabPorts, start })
  }
