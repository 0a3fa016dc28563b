import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { peerOf } from '../testing/swarms.ts'
import { parseServerOptions } from './options.ts'

let folder: string
const file = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-options-'))
  await writeFile(file('anchors'), `# those we know\n${peerOf(1)}\n\n  ${peerOf(2)}  # a friend\n`)
  await writeFile(file('spoilt'), `${peerOf(1)}\nnot an id\n`)
})
afterAll(() => rm(folder, { recursive: true }))

it('without options serves this machine alone, from .manyhands', async () => {
  expect(await parseServerOptions([])).toEqual({
    data: resolve('.manyhands'),
    port: 8080,
    host: '127.0.0.1',
    stages: 'auto',
    ice: { stun: [] },
    anchors: new Set(),
    trustProxy: false,
    newKey: false,
  })
})

it('takes every option', async () => {
  const args =
    '--data d --database postgres://u@h/d --url https://hands.example/ --port 0 --host 0.0.0.0 --stages 3 --site s --stun stun:a:1 --stun stuns:b --turn turn:c:3478?transport=udp --turn-secret xyz --trust-proxy --new-key'
  expect(await parseServerOptions([...args.split(' '), '--anchors', file('anchors')])).toEqual({
    data: resolve('d'),
    database: 'postgres://u@h/d',
    url: 'https://hands.example',
    port: 0,
    host: '0.0.0.0',
    stages: 3,
    site: resolve('s'),
    ice: { stun: ['stun:a:1', 'stuns:b'], turn: { urls: ['turn:c:3478?transport=udp'], secret: 'xyz', ttlSeconds: 43_200 } },
    anchors: new Set([peerOf(1), peerOf(2)]),
    trustProxy: true,
    newKey: true,
  })
})

it('takes the relay’s secret from the environment, where a list of processes does not show it', async () => {
  const options = await parseServerOptions(['--turn', 'turn:c:1'], { MANYHANDS_TURN_SECRET: 'hidden' })
  expect(options?.ice.turn?.secret).toBe('hidden')
})

it('takes the database from the environment as well; the command line goes first', async () => {
  const env = { DATABASE_URL: 'postgresql://env/d' }
  expect((await parseServerOptions([], env))?.database).toBe('postgresql://env/d')
  expect((await parseServerOptions(['--database', 'postgresql://line/d'], env))?.database).toBe('postgresql://line/d')
  expect(await parseServerOptions([], { DATABASE_URL: '' })).not.toHaveProperty('database')
})

it('gives nothing when help is asked for', async () => {
  expect(await parseServerOptions(['--help'])).toBeUndefined()
  expect(await parseServerOptions(['-h', '--port', 'x'])).toBeUndefined()
})

it.each([
  ['--port x', "--port takes a whole number from 0 to 65535, not 'x'."],
  ['--port 65536', '65535'],
  ['--port -1', '--port'],
  ['--port 1e3', '--port'],
  ['--database mysql://a/b', 'the address of a PostgreSQL'],
  ['--url hands.example', '--url takes an address like'],
  ['--url ftp://hands.example', '--url'],
  ['--url https://hands.example/below', '--url'],
  ['--stages 0', '--stages takes a whole number from 1 to 8'],
  ['--stages 9', '--stages'],
  ['--stages many', '--stages'],
  ['--stun http://a', '--stun takes a URL like'],
  ['--turn a.example', '--turn takes a URL like'],
  ['--turn turn:a', '--turn-secret'],
  ['--anchors nowhere', "nowhere can't be read"],
  ['--anchors SPOILT', 'line 2 of'],
  ['--prot 1', "'--prot'"],
  ['--port', "'--port <value>'"],
  ['stray', 'stray'],
])('%s is refused, and says what would be right', async (line, sentence) => {
  const args = line.split(' ').map((word) => (word === 'SPOILT' ? file('spoilt') : word))
  await expect(parseServerOptions(args)).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining(sentence) as string })
})
