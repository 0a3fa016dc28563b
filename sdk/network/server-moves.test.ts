/** Which server a peer goes to, without any server: what it is told, what it finds, and where that ends. */
import { afterEach, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { ServerInfo } from './discovery.ts'
import { hintMs, maxMoves, movesWindowMs, ServerMoves } from './server-moves.ts'

const at = (url: string) => ({ base: new URL(url) }) as ServerInfo
const [a, b, c] = ['http://a.example', 'http://b.example', 'http://c.example'] as const

function peer(down: readonly string[] = []) {
  const time = { now: 0 }
  const went: string[] = []
  const socket = {
    ready: false,
    async move(other: Promise<ServerInfo>) {
      return other.catch(() => undefined)
    },
  }
  const moves = new ServerMoves(at(a), {
    discover: async (url) => {
      if (down.includes(url)) throw new ManyhandsError('unavailable', `${url} is down.`)
      return at(url)
    },
    socket,
    arrived: (info) => went.push(info.base.origin),
    uptime: () => time.now,
  })
  return { moves, time, went, socket }
}

const cleanUp: (() => void)[] = []
afterEach(() => cleanUp.splice(0).forEach((end) => end()))

const settled = () => new Promise((resolve) => setImmediate(resolve))

it('goes where it is told, and stays when that can’t be found', async () => {
  const { moves, went } = peer([c])
  moves.welcomed([a, b, c])
  expect(moves.moved(b, true)).toBe(true)
  await settled()
  expect(moves.info.base.origin).toBe(b)
  moves.moved(c, true)
  await settled()
  expect(moves.info.base.origin).toBe(b)
  expect(went).toEqual([b])
})

it('is not sent round for ever: a few moves at a time, and a mere hint is followed once in a while', async () => {
  const { moves, time } = peer()
  cleanUp.push(() => moves.close())
  for (let i = 0; i < maxMoves; i++) {
    expect(moves.moved(i % 2 ? a : b, true)).toBe(true)
    await settled()
  }
  expect(moves.moved(a, true)).toBe(false)
  time.now += movesWindowMs
  expect(moves.moved(a, true)).toBe(true)
  expect(moves.moved(b, false)).toBe(true)
  time.now += hintMs - 1
  expect(moves.moved(b, false)).toBe(false)
  time.now += 1
  expect(moves.moved(b, false)).toBe(true)
})

it('tries the other servers in turn when its own does not answer twice, and stays when it does again', async () => {
  const { moves, went, socket } = peer([b])
  moves.welcomed([a, b, c])
  moves.lost()
  await settled()
  expect(went).toEqual([])
  moves.lost()
  await settled()
  moves.lost()
  await settled()
  expect(went).toEqual([c])
  moves.welcomed([])
  moves.lost()
  socket.ready = true
  moves.lost()
  await settled()
  expect(went).toEqual([c])
})

it('alone with its server it waits for it', async () => {
  const { moves, went } = peer()
  moves.welcomed([a])
  for (let i = 0; i < 5; i++) moves.lost()
  await settled()
  expect(went).toEqual([])
})
