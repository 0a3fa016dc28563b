/** What one settled session writes, by number: every kind of entry, so that one that is lost, doubled or half there is seen. */
import { utf8 } from '../../protocol/bytes.ts'
import { requestTallies, workTallies } from '../../signaling-server/projects/tally.ts'
import type { Write } from '../../signaling-server/store.ts'
import { cats } from '../projects.ts'
import { sampleAudit, sampleHash, sampleReceipt, sampleSession, sampleStrike, sampleWork } from '../sample-receipts.ts'
import { peerOf } from '../swarms.ts'

export const receiptsOf = (n: number) => [sampleReceipt(n), sampleReceipt(n, { status: 'settled', supersedes: sampleHash })]
export const workOf = (n: number) => [sampleWork(n), sampleWork(n, { id: sampleAudit(n).audit, kind: 'audit' })]
export const evidenceOf = (n: number) => utf8(`proofs of ${n}`)
export const standingOf = (n: number) => ({ agreements: n + 1 })

/** The first commit is the provisional receipt's, the second the audit's. */
export const commitsOf = (n: number): readonly (readonly Write[])[] => {
  const [provisional, settled] = receiptsOf(n) as [ReturnType<typeof sampleReceipt>, ReturnType<typeof sampleReceipt>]
  const [stage, audit] = workOf(n) as [ReturnType<typeof sampleWork>, ReturnType<typeof sampleWork>]
  const gaveFor = () => cats
  const first: Write[] = [
    { t: 'receipt', receipt: provisional },
    { t: 'work', entry: stage },
    { t: 'evidence', session: sampleSession(n), evidence: evidenceOf(n) },
  ]
  const second: Write[] = [
    { t: 'receipt', receipt: settled },
    { t: 'work', entry: audit },
    { t: 'audit', entry: sampleAudit(n) },
    { t: 'strike', entry: sampleStrike(n) },
    { t: 'standing', peer: peerOf(1), standing: standingOf(n) },
  ]
  return [
    [...first, ...workTallies(first, gaveFor), ...requestTallies(cats, sampleSession(n), [peerOf(1)], gaveFor, stage.at)],
    [...second, ...workTallies(second, gaveFor)],
  ]
}
