import { describe, expect, it } from 'vitest'
import { deferred } from '../../link/deferred.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { Scheduler } from './scheduler.ts'

const named = (name: string) => name as SessionId

describe('[SE3] turns', () => {
  it('go round the sessions, a step each', async () => {
    const { ran, job, all } = record(4)
    const scheduler = new Scheduler()
    scheduler.setPaused(true)
    for (const name of ['a1', 'a2', 'b1', 'b2']) scheduler.enqueue(named(name.charAt(0)), job(name))
    scheduler.setPaused(false)
    await all
    expect(ran).toEqual(['a1', 'b1', 'a2', 'b2'])
  })

  it('[SH3] give what nobody waits for the processor only while no answer wants it', async () => {
    const { ran, job, all } = record(6)
    const scheduler = new Scheduler()
    scheduler.setPaused(true)
    for (const name of ['s1', 's2', 's3']) scheduler.enqueueBackground(named('s'), job(name))
    for (const name of ['a1', 'b1']) scheduler.enqueue(named(name.charAt(0)), job(name))
    // A live step that comes while the background is at work is next.
    const late = job('a2')
    scheduler.enqueueBackground(named('t'), async () => {
      scheduler.enqueue(named('a'), late)
      return 0
    })
    scheduler.setPaused(false)
    await all
    expect(ran.slice(0, 2)).toEqual(['a1', 'b1'])
    expect(ran).toEqual(['a1', 'b1', 's1', 'a2', 's2', 's3'])
  })

  it('[SH3] leave the background behind while a peer connects, and hold an answer up for a moment only', async () => {
    let unsettled = true
    const { ran, job, all } = record(5)
    const scheduler = new Scheduler(() => unsettled)
    scheduler.setPaused(true)
    for (const name of ['s1', 's2']) scheduler.enqueueBackground(named('s'), job(name))
    scheduler.enqueue(named('a'), async () => {
      scheduler.enqueue(named('a'), async () => {
        // The background's turn comes when the connection stands.
        setTimeout(() => (unsettled = ran.push('stands') < 0))
        return job('a2')()
      })
      return job('a1')()
    })
    scheduler.setPaused(false)
    await all
    expect(ran).toEqual(['a1', 'a2', 'stands', 's1', 's2'])
  })

  it('are none for a session that was removed', async () => {
    const { ran, job, all } = record(1)
    const scheduler = new Scheduler()
    scheduler.setPaused(true)
    scheduler.enqueue(named('a'), job('a1'))
    scheduler.enqueueBackground(named('s'), job('s1'))
    scheduler.remove(named('a'))
    scheduler.remove(named('s'))
    scheduler.enqueue(named('b'), job('b1'))
    scheduler.setPaused(false)
    await all
    expect(ran).toEqual(['b1'])
  })
})

/** Jobs that write down their names; `all` resolves when `count` have run. */
function record(count: number) {
  const ran: string[] = []
  const done = deferred<void>()
  const job = (name: string) => async () => {
    ran.push(name)
    if (ran.length === count) done.resolve()
    return 0
  }
  return { ran, job, all: done.promise }
}
