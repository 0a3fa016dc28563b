/** What every store of projects must do, whatever database is behind. An implementation's own test file calls this. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ProjectId } from '../protocol/ids.ts'
import { rotated } from '../signaling-server/projects/project.ts'
import type { ProjectStore } from '../signaling-server/projects/project-store.ts'
import { nothingCounted } from '../signaling-server/projects/tally.ts'
import type { Ownership } from '../signaling-server/ownership.ts'
import type { Store, Tally } from '../signaling-server/store.ts'
import { cats, dogs, made } from './projects.ts'
import { sampleCell as cell, sampleReceipt } from './sample-receipts.ts'

/** A database that stays while servers come and go. */
export interface DurableProjects {
  open(): Promise<{ readonly store: Store; readonly ownership: Ownership; readonly projects: ProjectStore }>
  remove(): Promise<void>
}

const minute = 60_000
const tally = (n: number, change: Partial<Tally> = {}): Tally => ({
  id: `one ${n}`,
  counter: 'rows',
  project: cats,
  day: 20_000,
  amount: n,
  ...change,
})

export function projectContract(make: () => Promise<DurableProjects>): void {
  describe('as every store of projects', () => {
    let durable: DurableProjects
    const opened: Store[] = []
    const open = async () => {
      const all = await durable.open()
      opened.push(all.store)
      return all
    }
    beforeEach(async () => {
      durable = await make()
    })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close().catch(() => undefined)))
      await durable.remove()
    })

    it('gives back what was made, also after a restart; an id is taken once', async () => {
      const first = await open()
      const { project } = made()
      expect(await first.projects.all()).toEqual([])
      expect(await first.projects.create(project)).toBe(true)
      expect(await first.projects.create({ ...project, name: 'Another' })).toBe(false)
      await first.store.close()
      const { projects } = await open()
      expect(await projects.all()).toEqual([{ project, version: 1 }])
    })

    it('[PJ5] changes a project for who has seen it as it is, and tells who asks for changes', async () => {
      const { projects } = await open()
      const [one, other] = [made().project, made().project]
      await projects.create(one)
      await projects.create(other)
      const { project } = rotated(one, false, Date.now())
      expect(await projects.replace(project, 1)).toBe(true)
      expect(await projects.replace({ ...project, revoked: true }, 1)).toBe(false)
      const changed = await projects.changed(minute)
      expect(changed.find((s) => s.project.id === one.id)).toEqual({ project, version: 2 })
      expect(await projects.replace(project, 7)).toBe(false)
      expect(await projects.replace({ ...project, id: cats }, 1)).toBe(false)
    })

    it('[PJ6] counts each thing once, by project and day', async () => {
      const { projects } = await open()
      await projects.count([tally(1), tally(2), tally(3, { day: 20_001 }), tally(5, { project: dogs }), tally(4, { counter: 'requests' })])
      await projects.count([tally(1), tally(1, { amount: 100 }), tally(6)])
      expect(await projects.totals(cats)).toEqual({ ...nothingCounted, rows: 12, requests: 4 })
      expect(await projects.days(cats, 0)).toEqual([
        { day: 20_001, counters: { ...nothingCounted, rows: 3 } },
        { day: 20_000, counters: { ...nothingCounted, rows: 9, requests: 4 } },
      ])
      expect((await projects.days(cats, 20_001)).map(({ day }) => day)).toEqual([20_001])
      expect(await projects.totals('p_nobodynobodynobo' as ProjectId)).toEqual(nothingCounted)
    })

    it('[PJ6] keeps what was counted when what it was made of is let go', async () => {
      const { projects } = await open()
      await projects.count([tally(1), tally(2, { day: 20_009 })])
      await projects.forget(20_005)
      await projects.count([tally(2, { day: 20_009 })])
      expect(await projects.totals(cats)).toEqual({ ...nothingCounted, rows: 3 })
    })

    it('[PJ6] counts with the commit that brings it: all of it or nothing, and once however often it is sent', async () => {
      const { store, ownership, projects } = await open()
      const claimed = async () => (await ownership.claim([cell], 1)).get(cell)
      await expect.poll(claimed, { timeout: 60_000 }).toBeDefined()
      const epoch = (await claimed()) as number
      const writes = [
        { t: 'receipt', receipt: sampleReceipt(1) },
        { t: 'tally', tally: tally(1) },
        { t: 'tally', tally: tally(2, { counter: 'requests' }) },
      ] as const
      expect(await store.commit(cell, epoch, writes)).toBe('ok')
      expect(await store.commit(cell, epoch, writes)).toBe('ok')
      expect(await store.commit(cell, epoch + 1, [{ t: 'tally', tally: tally(8) }])).toBe('stale')
      await expect(
        store.commit(cell, epoch, [
          { t: 'tally', tally: tally(9) },
          { t: 'tally', tally: tally(10, { amount: Number.NaN }) },
        ]),
      ).rejects.toThrow()
      expect(await projects.totals(cats)).toEqual({ ...nothingCounted, rows: 1, requests: 2 })
    })

    it('[PJ6] loses nothing where many count for the same projects at once', async () => {
      const { projects } = await open()
      const batches = Array.from({ length: 20 }, (_, n) =>
        [tally(1, { id: `${n}a` }), tally(1, { id: `${n}b`, project: dogs }), tally(1, { id: `${n}c`, counter: 'consents' })].slice(n % 2),
      )
      await Promise.all(batches.map((batch) => projects.count(batch.toReversed())))
      expect(await projects.totals(dogs)).toEqual({ ...nothingCounted, rows: 20 })
      expect(await projects.totals(cats)).toEqual({ ...nothingCounted, rows: 10, consents: 20 })
    })
  })
}
