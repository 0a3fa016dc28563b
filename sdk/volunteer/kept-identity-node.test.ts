import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkAnswer, signAnswer } from '../../protocol/receipt.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { folderIdentity } from './kept-identity-node.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'manyhands-identity-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('a kept key', () => {
  it('comes back with the next visit, in a file that its owner alone can read, and signs', async () => {
    const first = await folderIdentity(folder)()
    first.release()
    await expect.poll(() => readdir(folder)).toEqual(['identity-0.json'])
    expect((await stat(join(folder, 'identity-0.json'))).mode & 0o777).toBe(0o600)
    const second = await folderIdentity(folder)()
    expect(second.identity.id).toBe(first.identity.id)
    const session = 'ab'.repeat(16) as SessionId
    const signature = await signAnswer(session, new Uint8Array(4), second.identity.privateKey)
    expect(await checkAnswer(session, new Uint8Array(4), first.identity.publicKey, signature)).toBe(true)
  })

  it('is used once at a time: the next one at the same time gets a key of its own, which is kept too', async () => {
    const [first, second] = [await folderIdentity(folder)(), await folderIdentity(folder)()]
    expect(second.identity.id).not.toBe(first.identity.id)
    second.release()
    await expect.poll(() => readdir(folder)).not.toContain('identity-1.lock')
    expect((await folderIdentity(folder)()).identity.id).toBe(second.identity.id)
  })

  it('is taken over from a process that is gone, and made anew where the file is none', async () => {
    const first = await folderIdentity(folder)()
    // No process has this number.
    await writeFile(join(folder, 'identity-0.lock'), '4194305')
    expect((await folderIdentity(folder)()).identity.id).toBe(first.identity.id)
    await writeFile(join(folder, 'identity-0.lock'), 'nobody')
    await writeFile(join(folder, 'identity-0.json'), '{"publicKey": 7}')
    expect((await folderIdentity(folder)()).identity.id).not.toBe(first.identity.id)
  })

  it('is one for the visit where nothing can be kept', async () => {
    await writeFile(join(folder, 'file'), '')
    const held = await folderIdentity(join(folder, 'file', 'below'))()
    expect(held.identity.id).toHaveLength(64)
  })
})
