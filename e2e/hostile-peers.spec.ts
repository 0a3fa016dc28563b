/** Peers that connect to a volunteer and misbehave: they lose their connection, the volunteer goes on serving. */
import { connect } from '../sdk/node.ts'
import type { PeerId } from '../protocol/ids.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { expect, test } from './harness/fixtures.ts'
import { hostilePeer } from './harness/hostile-peer.ts'
import type { TestNetwork } from './harness/network.ts'
import { RawSocket } from './harness/raw-socket.ts'

const model = 'smollm2-135m-instruct'

test.afterEach('every volunteer still serves', async ({ chat }) => {
  const network = await connect({ server: chat.url })
  const { tokenIds } = await network.generate(model, [{ role: 'user', content: 'What is the capital of France?' }], { maxTokens: 2 })
  expect(tokenIds).toEqual([504, 3575])
  await network.close()
  for (const tab of chat.tabs) expect((await tab.state()).phase).toBe('serving')
})

/** A session that a proper requester has been routed, and has not begun. */
async function routed(chat: TestNetwork): Promise<{ ticket: Ticket; host: PeerId; end: () => void }> {
  const socket = await RawSocket.welcomed(chat.url)
  socket.send({ t: 'open', id: 1, revision: chat.model.revision, maxPositions: 64, sampling: { temperature: 0, topP: 1, seed: 0 } })
  const { ticket } = await socket.next('route')
  const end = () => {
    socket.send({ t: 'close', id: 1 })
    socket.close()
  }
  return { ticket, host: ticket.stages.at(-1)?.peer as PeerId, end }
}

test('who speaks before saying who it is loses the connection', async ({ chat }) => {
  const { host, end } = await routed(chat)
  const peer = await hostilePeer(chat.url, host, false)
  peer.sendRaw(new Uint8Array([2, 123, 125]))
  await peer.closed
  peer.close()
  end()
})

for (const [what, bytes] of [
  ['an unknown kind of message', [9, 1, 2, 3]],
  ['nothing', []],
  ['a step cut off in its header', [3, 1, 1, 0, 5]],
  ['a step that claims to be huge', [3, 1, 1, 0, ...Array.from({ length: 36 }, () => 0), 255, 255, 255, 255, 0, 0, 0, 0]],
  ['a control message that is no JSON', [2, 123]],
  ['custody that is too short', [4, 1, 2, 3]],
] as const) {
  test(`who sends ${what} loses the connection`, async ({ chat }) => {
    const { host, end } = await routed(chat)
    const peer = await hostilePeer(chat.url, host, true)
    peer.sendRaw(Uint8Array.from(bytes))
    await peer.closed
    peer.close()
    end()
  })
}

test('a ticket that the server did not sign is refused as bad', async ({ chat }) => {
  const { ticket, host, end } = await routed(chat)
  const peer = await hostilePeer(chat.url, host, true)
  const session = 'ab'.repeat(16) as Ticket['session']
  peer.sendMessage({ t: 'open', ticket: { ...ticket, session } })
  await expect
    .poll(() => peer.heard)
    .toContainEqual(expect.objectContaining({ t: 'fault', session, error: expect.objectContaining({ code: 'bad-ticket' }) }))
  peer.close()
  end()
})

test("who speaks in another's session loses the connection", async ({ chat }) => {
  const { ticket, host, end } = await routed(chat)
  const peer = await hostilePeer(chat.url, host, true)
  peer.sendMessage({ t: 'open', ticket })
  peer.sendMessage({ t: 'start', session: ticket.session, promptLength: 1, maxTokens: 1, answered: 0 })
  await peer.closed
  peer.close()
  end()
})
