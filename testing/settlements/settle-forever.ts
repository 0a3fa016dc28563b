/**
 * A process of its own, to be killed: settles sessions FROM, FROM + 1 … in the database in DIR, or at a PostgreSQL URL, and
 * prints each one's number once it is written. Arguments: DIR FROM [URL].
 */
import { randomBytes } from 'node:crypto'
import { openDatabase } from '../../signaling-server/database.ts'
import { sampleCell } from '../sample-receipts.ts'
import { commitsOf } from './writes.ts'

const [data = '', from = '0', database] = process.argv.slice(2)
const { store, ownership } = await openDatabase({ data, database, name: randomBytes(8).toString('hex'), url: 'http://here' })
const epoch = (await ownership.claim([sampleCell], 1)).get(sampleCell) ?? 0
for (let n = Number(from); ; n++) {
  for (const writes of commitsOf(n)) if ((await store.commit(sampleCell, epoch, writes)) !== 'ok') throw new Error('The cell is not ours.')
  process.stdout.write(`${n}\n`)
}
