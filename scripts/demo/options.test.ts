import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Misuse } from '../arguments.ts'
import { parseDemoOptions } from './options.ts'

let folder: string
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'manyhands-options-'))))
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('options of the demo', () => {
  test('without any: the chat model, three stages, greedy, the site stays up', async () => {
    expect(await parseDemoOptions([])).toMatchObject({
      model: undefined,
      stages: 3,
      temperature: 0,
      seed: undefined,
      once: false,
      json: false,
    })
  })

  test('a prompt becomes one user message', async () => {
    expect((await parseDemoOptions(['--prompt', 'Hello?']))?.messages).toEqual([{ role: 'user', content: 'Hello?' }])
  })

  test('messages come from a file', async () => {
    const path = join(folder, 'messages.json')
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello?' },
    ]
    await writeFile(path, JSON.stringify(messages))
    expect((await parseDemoOptions(['--messages', path]))?.messages).toEqual(messages)
  })

  test('help is no options', async () => {
    expect(await parseDemoOptions(['--help'])).toBeUndefined()
  })

  test.each([
    ['an unknown option', ['--speed', '9']],
    ['no number of stages', ['--stages', 'three']],
    ['stages of no number', ['--stages', '']],
    ['no stage', ['--stages', '0']],
    ['half a token', ['--max-tokens', '1.5']],
    ['a seed too large', ['--seed', String(2 ** 32)]],
    ['prompt and messages', ['--prompt', 'a', '--messages', 'b']],
    ['messages that are not there', ['--messages', 'no-such-file.json']],
  ])('%s is refused', async (_, args) => {
    await expect(parseDemoOptions(args)).rejects.toThrow(Misuse)
  })

  test.each([
    ['no JSON', 'hello'],
    ['no list', '{"role":"user","content":"a"}'],
    ['an empty list', '[]'],
    ['another role', '[{"role":"robot","content":"a"}]'],
  ])('a file of messages with %s is refused', async (_, text) => {
    const path = join(folder, 'bad.json')
    await writeFile(path, text)
    await expect(parseDemoOptions(['--messages', path])).rejects.toThrow(Misuse)
  })
})
