/** How a peer's socket comes back to a server that is a real socket away, and says no more than a welcome. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { createIdentity } from '../../protocol/keys.ts'
import { leaseMs } from '../../protocol/limits.ts'
import type { ServerMessage } from '../../protocol/server-messages.ts'
import '../node-globals.ts'
import { ControlSocket } from './control-socket.ts'
import type { ServerInfo } from './discovery.ts'

const [server, peer] = [await createIdentity(), await createIdentity()]
const challenge: ServerMessage = { t: 'challenge', v: 1, nonce: '0'.repeat(32), serverKey: server.publicKey, now: 1_000_000 }
const welcome: ServerMessage = {
  t: 'welcome',
  peer: peer.id,
  brokerToken: 'token',
  iceServers: [],
  epoch: 1,
  boot: '0'.repeat(16),
  serverKeys: [server.publicKey],
  servers: [],
}

const cleanUp: (() => void)[] = []
afterEach(() => {
  for (const undo of cleanUp.splice(0).toReversed()) undo()
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

async function joined() {
  const listener = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  const sockets: WebSocket[] = []
  listener.on('connection', (socket) => {
    sockets.push(socket)
    socket.send(JSON.stringify(challenge))
    socket.once('message', () => socket.send(JSON.stringify(welcome)))
  })
  cleanUp.push(() => {
    for (const socket of sockets) socket.terminate()
    listener.close()
  })
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const events = new EventTarget()
  const lost: string[] = []
  const info = { socketUrl: `ws://127.0.0.1:${port}`, serverKey: server.publicKey } as ServerInfo
  const heard = (type: string) => once(events, type)
  const first = heard('welcome')
  const socket = new ControlSocket(info, peer, {
    welcomed: () => events.dispatchEvent(new Event('welcome')),
    message: () => undefined,
    lost: (reason) => {
      lost.push(reason.message)
      events.dispatchEvent(new Event('lost'))
    },
  })
  cleanUp.push(() => socket.close())
  await first
  return { socket, sockets, heard, lost }
}

it('a socket that has gone silent without a close is dialled again when somebody looks', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const { socket, heard, lost } = await joined()
  socket.check()
  expect(socket.ready).toBe(true)
  vi.advanceTimersByTime(leaseMs + 1)
  const again = heard('welcome')
  socket.check()
  expect(lost).toEqual(['The server went silent.'])
  await again
  socket.check()
  expect(socket.ready).toBe(true)
})

it('it is dialled at once when the browser says that the network is back, however long it meant to wait', async () => {
  const browser = new EventTarget()
  vi.stubGlobal('addEventListener', browser.addEventListener.bind(browser))
  vi.stubGlobal('removeEventListener', browser.removeEventListener.bind(browser))
  const { socket, sockets, heard } = await joined()
  browser.dispatchEvent(new Event('online'))
  expect(sockets).toHaveLength(1)
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  const gone = heard('lost')
  sockets[0]?.terminate()
  await gone
  const again = heard('welcome')
  browser.dispatchEvent(new Event('online'))
  await again
  expect(socket.ready).toBe(true)
  expect(sockets).toHaveLength(2)
})

it('a page whose timers are held back dials when its pause is over and somebody looks', async () => {
  const { socket, sockets, heard } = await joined()
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  const gone = heard('lost')
  sockets[0]?.terminate()
  await gone
  // The clock goes on; its timers don't.
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 1_000)
  const again = heard('welcome')
  socket.check()
  await again
  expect(sockets).toHaveLength(2)
})
