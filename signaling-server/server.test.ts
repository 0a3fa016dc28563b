/** The whole server in this process: its start, what it says of itself, and its end, whoever is connected. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { WellKnown } from '../protocol/server-messages.ts'
import { startServer, type RunningServer } from './server.ts'
import { closeCodes } from './socket-close.ts'

let data: string
let running: RunningServer[]
const cleanUp: (() => void)[] = []

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'manyhands-server-'))
  running = []
})
afterEach(async () => {
  for (const drop of cleanUp.splice(0)) drop()
  await Promise.all(running.map((server) => server.close()))
  await rm(data, { recursive: true })
})

async function start(options: Partial<Parameters<typeof startServer>[0]> = {}): Promise<RunningServer> {
  const server = await startServer({ data, port: 0, ...options })
  running.push(server)
  return server
}

const wellKnown = async ({ url }: RunningServer) => (await (await fetch(`${url}/.well-known/manyhands.json`)).json()) as WellKnown

async function dial({ url }: RunningServer, path: string): Promise<WebSocket> {
  const socket = new WebSocket(url.replace('http', 'ws') + path)
  cleanUp.push(() => socket.terminate())
  socket.on('error', () => undefined)
  await once(socket, 'message')
  return socket
}

it('[CS1] keeps its key from start to start; a new one lists the one before', async () => {
  const first = await start()
  const { serverKey } = await wellKnown(first)
  await first.close()
  const second = await start()
  expect(await wellKnown(second)).toMatchObject({ serverKey, pastKeys: [] })
  await second.close()
  const renewed = await wellKnown(await start({ newKey: true }))
  expect(renewed.serverKey).not.toBe(serverKey)
  expect(renewed.pastKeys).toEqual([serverKey])
})

it('a port that is taken is said, and leaves nothing behind', async () => {
  const port = Number(new URL((await start()).url).port)
  const other = await mkdtemp(join(tmpdir(), 'manyhands-server-'))
  await expect(startServer({ data: other, port })).rejects.toMatchObject({
    code: 'bad-input',
    message: expect.stringContaining(`${port}`) as string,
  })
  await start({ data: other })
  await running.pop()?.close()
  await rm(other, { recursive: true })
})

it('a folder that can’t be used is said', async () => {
  await writeFile(join(data, 'file'), '')
  await expect(startServer({ data: join(data, 'file'), port: 0 })).rejects.toMatchObject({ code: 'bad-input' })
})

it('ends with everybody still connected: they are told to come back, nobody can hold it up', async () => {
  const server = await start()
  const client = await dial(server, '/v1/socket')
  const deaf = await dial(server, '/v1/socket')
  deaf.pause()
  const port = Number(new URL(server.url).port)
  const silent = connect(port, '127.0.0.1')
  cleanUp.push(() => silent.destroy())
  await once(silent, 'connect')
  silent.write('GET /v1/models HTTP/1.1\r\n')
  const kept = await fetch(`${server.url}/healthz`)
  await kept.text()
  const closed = once(client, 'close')
  const ended = once(silent, 'close')
  await Promise.all([server.close(), server.close()])
  expect((await closed)[0]).toBe(closeCodes.restart)
  await ended
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow()
})

it('an upgrade to nowhere is answered, and a broken one harms nobody', async () => {
  const server = await start()
  const port = Number(new URL(server.url).port)
  for (const request of [
    'GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    'GET /v1/socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: short\r\n\r\n',
    'NONSENSE\r\n\r\n',
  ]) {
    const socket = connect(port, '127.0.0.1')
    cleanUp.push(() => socket.destroy())
    socket.write(request)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 4\d\d /)
  }
  await dial(server, '/v1/socket')
})
