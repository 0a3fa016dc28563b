/** What a visitor's giving left in this site's part of the browser, removed at the visitor's word; fetched only then. */
import { removeStored } from '../../../sdk/volunteer/stored-weights.ts'

/** @throws ManyhandsError busy while another tab of this site gives */
export const forgetAll = () => removeStored({ identity: true })
