import { afterEach, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import { tokenBytes } from '../../protocol/receipt.ts'
import { Ring } from '../../testing/ring.ts'
import { ToyEngine, toyManifest } from '../../testing/toy-engine.ts'

const revision = '11'.repeat(32) as Revision
let ring: Ring | undefined

afterEach(() => ring?.stop(new ManyhandsError('closed', 'The test is over.')))

it('an answer that is not what the last stage signed is told to the server, with who should have signed it', async () => {
  ring = await Ring.start([new ToyEngine(toyManifest(2), { first: 0, end: 2 })], revision)
  const asking = await ring.ask(await ring.ticket([0, 2], { revision, maxPositions: 40 }), () => undefined)
  asking.start(3, 2)
  ring.sendPrompt(asking, [1, 2, 3])
  const { signature } = await asking.ended
  expect(ring.blamed).toEqual([])
  await expect(asking.checkAnswer(tokenBytes([1, 2]), signature)).rejects.toMatchObject({ code: 'bad-signature' })
  expect(ring.blamed).toEqual([asking.host.peer])
})
