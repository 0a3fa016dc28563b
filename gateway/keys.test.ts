import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { addKey, holderOf, parseKeys, readKeys } from './keys.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-keys-'))
})
afterAll(() => rm(folder, { recursive: true }))

it('a key that is made is its holder’s, and the file, which others can’t read, has only its hash', async () => {
  const file = join(folder, 'keys')
  const [ann, bob] = [await addKey(file, 'ann'), await addKey(file, 'bob')]
  const keys = await readKeys(file)
  expect([ann, bob].map((key) => holderOf(keys, `Bearer ${key}`))).toEqual(['ann', 'bob'])
  expect(await readFile(file, 'utf8')).not.toContain(ann)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
})

it('another key, a key’s hash, and what is no bearer’s are nobody’s', () => {
  const keys = parseKeys(`ann ${'a'.repeat(64)}`)
  for (const shown of [undefined, '', 'Bearer', `Bearer ${'a'.repeat(64)}`, 'Basic x', `Bearer ${'x'.repeat(300)}`])
    expect(holderOf(keys, shown)).toBeUndefined()
})

it('a line that is no key is named, comments are none, and a file without keys is refused', async () => {
  expect(parseKeys(`# mine\n\nann ${'a'.repeat(64)} # since May\n`)).toEqual(new Map([['a'.repeat(64), 'ann']]))
  expect(() => parseKeys(`ann ${'a'.repeat(64)}\nsecret`)).toThrow('Line 2')
  expect(() => parseKeys('# none')).toThrow('--new-key')
  await expect(readKeys(join(folder, 'none'))).rejects.toThrow("can't be read")
  await expect(addKey(join(folder, 'keys'), 'a name')).rejects.toThrow('A key’s name')
})
