/** Which swarms a process has, turn by turn, against a table of leases in memory. */
import { expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import type { Revision } from '../protocol/ids.ts'
import { revisionOf } from '../testing/swarms.ts'
import { Cells } from './cells.ts'
import type { Ownership } from './ownership.ts'

const all = Array.from({ length: 10 }, (_, n) => revisionOf(n))

/** Leases that never run out by themselves; processes are up when they say so. */
class Table {
  readonly owners = new Map<string, { name: string; epoch: number }>()
  readonly up = new Set<string>()
  epoch = 0
  away = false

  ownership(name: string): Ownership {
    const answer = async <T>(value: () => T): Promise<T> => {
      if (this.away) throw new ManyhandsError('unavailable', 'The database does not answer.')
      return value()
    }
    return {
      claim: (cells, limit) =>
        answer(() => {
          const free = cells.filter((cell) => !this.owners.has(cell)).slice(0, limit)
          for (const cell of free) this.owners.set(cell, { name, epoch: ++this.epoch })
          return new Map(cells.flatMap((cell) => (this.owners.get(cell)?.name === name ? [[cell, this.owners.get(cell)!.epoch]] : [])))
        }),
      renew: (held) =>
        answer(() => {
          this.up.add(name)
          return held.filter((cell) => this.owners.get(cell)?.name === name)
        }),
      release: (cells) =>
        answer(() => {
          for (const cell of cells) if (this.owners.get(cell)?.name === name) this.owners.delete(cell)
        }),
      ownerOf: async () => undefined,
      servers: () => answer(() => [...this.up]),
      mayAct: () => true,
    }
  }
}

function process(table: Table, name: string, busy: ReadonlySet<Revision> = new Set()) {
  const time = { now: 0 }
  const told: string[] = []
  const lines: string[] = []
  const cells = new Cells({
    ownership: table.ownership(name),
    idle: (cell) => !busy.has(cell),
    changed: () => told.push('changed'),
    lost: async (cell) => void told.push(`lost ${all.indexOf(cell)}`),
    uptime: () => time.now,
    log: (line) => lines.push(line),
  })
  /** So many turns, a second apart. */
  const turns = async (count: number) => {
    for (let i = 0; i < count; i++) {
      time.now += 1_000
      await cells.turn()
    }
  }
  return { cells, told, lines, turns }
}

it('alone, has every cell at once, and gives up those that the library has no more', async () => {
  const { cells, told } = process(new Table(), 'a')
  await cells.want(all)
  expect(cells.owned).toEqual(all)
  expect(told).toEqual(['changed'])
  await cells.want(all.slice(1))
  expect(cells.owned).toEqual(all.slice(1))
  expect(cells.epochOf(all[0] as Revision)).toBeUndefined()
})

it('gives up what nobody uses when another process comes, until both have their share', async () => {
  const table = new Table()
  const busy = new Set(all.slice(0, 7))
  const a = process(table, 'a', busy)
  const b = process(table, 'b')
  await a.cells.want(all)
  await b.cells.want(all)
  expect(b.cells.owned).toEqual([])
  for (let i = 0; i < 40; i++) {
    await a.turns(1)
    await b.turns(1)
  }
  expect(a.cells.owned).toEqual([...busy])
  expect(b.cells.owned.length).toBe(3)
})

it('takes back what nobody else wants, and keeps it then', async () => {
  const table = new Table()
  table.up.add('one that has not these models')
  const a = process(table, 'a')
  await a.cells.want(all)
  await a.turns(60)
  expect(a.cells.owned.length).toBe(10)
  const { length } = a.told
  await a.turns(60)
  expect(a.told.length).toBe(length)
})

it('has what a dead process had, once that one is not counted any more', async () => {
  const table = new Table()
  const [a, b] = [process(table, 'a'), process(table, 'b')]
  table.up.add('a').add('b')
  await Promise.all([a.cells.want(all), b.cells.want(all)])
  for (let i = 0; i < 4; i++) await Promise.all([a.turns(1), b.turns(1)])
  expect(a.cells.owned.length + b.cells.owned.length).toBe(10)
  for (const cell of a.cells.owned) table.owners.delete(cell)
  table.up.delete('a')
  await b.turns(1)
  expect(b.cells.owned.length).toBe(10)
})

it('tells who lives in a lost cell before it is gone, and goes on with the rest', async () => {
  const table = new Table()
  const { cells, told, turns } = process(table, 'a')
  await cells.want(all)
  told.length = 0
  table.owners.set(all[3] as Revision, { name: 'b', epoch: 99 })
  await turns(1)
  expect(told).toEqual(['lost 3', 'changed'])
  expect(cells.owned).not.toContain(all[3])
  expect(cells.owned.length).toBe(9)
})

it('keeps what it has while the database is away, and says so once', async () => {
  const table = new Table()
  const { cells, lines, turns } = process(table, 'a')
  await cells.want(all)
  table.away = true
  await turns(5)
  expect(cells.owned).toEqual(all)
  table.away = false
  await turns(5)
  expect(cells.owned).toEqual(all)
  expect(lines).toEqual(['The database does not answer.', 'the database answers again'])
})

it('gives up everything at its end', async () => {
  const table = new Table()
  const { cells } = process(table, 'a')
  await cells.want(all)
  await cells.close()
  expect(table.owners.size).toBe(0)
  expect(cells.owned).toEqual([])
})
