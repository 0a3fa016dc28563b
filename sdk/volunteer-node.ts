/** The volunteer's SDK for Node: the same `donate`, with wasm as its only backend and weights kept in a folder. */
import { needWebRtc } from './node-globals.ts'
import { NodeFiles } from '../worker/blobs/node-files.ts'
import { defaultLimitBytes, storedBlobs } from '../worker/blobs/stored-blobs.ts'
import { loadStage } from '../worker/engine/load-stage.ts'
import { ortFromPackage } from '../worker/engine/node-engine.ts'
import type { DonateOptions, Donation } from './types.ts'
import { VolunteerDonation } from './volunteer/donation.ts'
import { folderIdentity } from './volunteer/kept-identity-node.ts'
import { inProcessHost } from './volunteer/in-process-host.ts'

export type { Donation, DonationPhase, DonationState } from './types.ts'

export interface NodeDonateOptions extends Omit<DonateOptions, 'backends'> {
  /** Where fetched weights are kept, so that they are fetched once; and the key, so that the trust it has earned comes back with it. */
  readonly weightsFolder: string
  /** Threads of wasm; measured when absent. */
  readonly threads?: number
}

/**
 * Joins at once; what happens is told by the donation's `state` and `change` events.
 * @throws ManyhandsError unsupported without WebRTC (`npm install @roamhq/wrtc`), and nothing else
 */
export function donate({ weightsFolder, threads, ...options }: NodeDonateOptions): Donation {
  needWebRtc()
  const ort = ortFromPackage()
  const files = new NodeFiles(weightsFolder)
  const makeHost = () =>
    inProcessHost((request, { blobsUrl }, loading) => {
      const blobs = storedBlobs({ blobsUrl, files, limitBytes: defaultLimitBytes })
      return loadStage(request, { ort, blobs, ...(threads === undefined ? {} : { threads }) }, loading)
    })
  return new VolunteerDonation({ ...options, backends: ['wasm'] }, makeHost, folderIdentity(weightsFolder))
}
