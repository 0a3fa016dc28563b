import { describe, expect, it } from 'vitest'
import { deferred } from '../../link/deferred.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { RunQueue } from './run-queue.ts'

const long = 2 ** 30
const closed = new ManyhandsError('closed', 'The stage was put away.')

describe('a run queue', () => {
  it('runs one thing at a time, in the order in which they came, whatever fails', async () => {
    const queue = new RunQueue(long)
    const said: string[] = []
    const gate = deferred<void>()
    const first = queue.take(async () => {
      said.push('first begins')
      await gate.promise
      said.push('first ends')
    })
    const second = queue.take(() => Promise.reject(new ManyhandsError('bad-input', 'No.')))
    const third = queue.take(async () => said.push('third'))
    gate.resolve()
    await first
    await expect(second).rejects.toMatchObject({ code: 'bad-input' })
    await third
    expect(said).toEqual(['first begins', 'first ends', 'third'])
  })

  it('gives up on a run that does not come back, and on all that waits behind it', async () => {
    const queue = new RunQueue(1)
    const hung = queue.take(() => new Promise<void>(() => undefined))
    const waiting = queue.take(async () => expect.unreachable('it ran beside a hung run'))
    await expect(hung).rejects.toMatchObject({ code: 'engine-failed' })
    await expect(waiting).rejects.toMatchObject({ code: 'engine-failed' })
    expect(await queue.lost).toMatchObject({ code: 'engine-failed', message: expect.stringContaining('did not come back') as string })
  })

  it('closes after the run in hand, and lets nothing in behind what it does last', async () => {
    const queue = new RunQueue(long)
    const said: string[] = []
    const gate = deferred<void>()
    const run = queue.take(async () => {
      await gate.promise
      said.push('run')
    })
    const end = queue.close(async () => void said.push('freed'), closed)
    const late = queue.take(async () => expect.unreachable('it ran on what was freed'))
    gate.resolve()
    await run
    await end
    await expect(late).rejects.toBe(closed)
    expect(said).toEqual(['run', 'freed'])
    expect(await queue.lost).toBe(closed)
  })

  it('frees nothing under a run that hangs', async () => {
    const queue = new RunQueue(1)
    const hung = queue.take(() => new Promise<void>(() => undefined))
    let freed = false
    const end = queue.close(async () => void (freed = true), closed)
    await expect(hung).rejects.toMatchObject({ code: 'engine-failed' })
    await end
    expect(freed).toBe(false)
  })
})
