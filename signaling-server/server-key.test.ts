import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { utf8 } from '../protocol/bytes.ts'
import { signHex, verifyHex } from '../protocol/keys.ts'
import { serverKey } from './server-key.ts'

let folder: string
const path = () => join(folder, 'server-key.json')
const mode = async () => (await stat(path())).mode & 0o777

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-key-'))
})
afterEach(() => rm(folder, { recursive: true }))

it('is made at the first start, for its owner’s eyes only, and is the same at the next', async () => {
  const first = await serverKey(join(folder))
  expect(first.past).toEqual([])
  expect(await mode()).toBe(0o600)
  expect(await readdir(folder)).toEqual(['server-key.json'])
  const again = await serverKey(folder)
  expect(again.identity.publicKey).toBe(first.identity.publicKey)
  const signature = await signHex(again.identity.privateKey, 'ticket', utf8('a ticket'))
  expect(await verifyHex(first.identity.publicKey, 'ticket', utf8('a ticket'), signature)).toBe(true)
})

it('makes its folder', async () => {
  await serverKey(join(folder, 'a', 'b'))
  expect(await readdir(join(folder, 'a', 'b'))).toEqual(['server-key.json'])
})

it('when renewed keeps the former ones listed, the latest first', async () => {
  const keys = [await serverKey(folder), await serverKey(folder, true), await serverKey(folder, true)]
  const [first, second, third] = keys.map((key) => key.identity.publicKey)
  expect(keys[2]?.past).toEqual([second, first])
  expect(await serverKey(folder)).toMatchObject({ identity: { publicKey: third }, past: [second, first] })
  expect(await mode()).toBe(0o600)
})

it('renewed is closed to others also where it was open before', async () => {
  await serverKey(folder)
  await writeFile(`${path()}.partial`, 'left over', { mode: 0o644 })
  await chmod(path(), 0o644)
  await serverKey(folder, true)
  expect(await mode()).toBe(0o600)
})

it('lists a bounded number of former keys', async () => {
  await serverKey(folder)
  for (let i = 0; i < 70; i++) await serverKey(folder, true)
  expect((await serverKey(folder)).past).toHaveLength(64)
})

it.each([
  ['no JSON', () => 'Hello'],
  ['nothing', () => ''],
  ['another’s private key', (saved: object) => JSON.stringify({ ...saved, pkcs8: 'ab'.repeat(48) })],
  ['a field too many', (saved: object) => JSON.stringify({ ...saved, more: 1 })],
])('a file with %s is refused and left as it is', async (_, spoil) => {
  await serverKey(folder)
  const spoilt = spoil(JSON.parse(await readFile(path(), 'utf8')) as object)
  await writeFile(path(), spoilt)
  for (const renew of [false, true]) {
    await expect(serverKey(folder, renew)).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining(path()) as string })
  }
  expect(await readFile(path(), 'utf8')).toBe(spoilt)
})

it('a folder that can’t be made is refused with what to do', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(serverKey(join(folder, 'file', 'data'))).rejects.toMatchObject({
    code: 'bad-input',
    message: expect.stringContaining("server's key can't be") as string,
  })
})

it('processes that start together in one folder have one key', async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, () => serverKey(folder)))
  expect(new Set(keys.map(({ identity }) => identity.publicKey)).size).toBe(1)
  expect(await readdir(folder)).toEqual(['server-key.json'])
})
