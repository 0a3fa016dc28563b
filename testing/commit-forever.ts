/** A process of its own: commits receipts to the database in DIR one after another, and prints each one's number once it is written. */
import { openEmbedded } from '../signaling-server/sqlite-store.ts'
import { sampleCell, sampleReceipt, sampleWork } from './sample-receipts.ts'

const { store, ownership } = openEmbedded(process.argv[2] as string, '')
const epoch = (await ownership.ownerOf(sampleCell))?.epoch ?? 0
for (let n = 0; ; n++) {
  await store.commit(sampleCell, epoch, [
    { t: 'receipt', receipt: sampleReceipt(n) },
    { t: 'work', entry: sampleWork(n) },
  ])
  process.stdout.write(`${n}\n`)
}
