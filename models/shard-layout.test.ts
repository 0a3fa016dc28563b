import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { shardLayout } from './shard-layout.ts'

describe('laying weights out in shards', () => {
  it('gives each block its own shard, and each shared weight one that both name', () => {
    const sizes = new Map([
      ['embedding', 100],
      ['table', 10],
      ['a', 64],
      ['b', 7],
      ['unread', 5],
    ])
    const layout = shardLayout([new Set(['embedding']), new Set(['a', 'table']), new Set(['b', 'table']), new Set(['embedding'])], sizes)
    expect(layout.shards.map((s) => s.parts.map((p) => p.location))).toEqual([['embedding'], ['a'], ['table'], ['b']])
    expect(layout.ofBlock).toEqual([[0], [1, 2], [2, 3], [0]])
  })

  it('stores every weight that is read exactly once, aligned and apart', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const sizes = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 6, maxLength: 6 })
    const blocks = fc.array(fc.subarray(names), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(sizes, blocks, (bytes, reads) => {
        const layout = shardLayout(
          reads.map((r) => new Set(r)),
          new Map(names.map((name, i) => [name, bytes[i] as number])),
        )
        const placed = layout.shards.flatMap((s) => s.parts.map((p) => p.location))
        expect(placed.toSorted()).toEqual([...new Set(reads.flat())].toSorted())
        for (const shard of layout.shards) {
          let end = 0
          for (const part of shard.parts) {
            expect(part.offset % 64).toBe(0)
            expect(part.offset).toBeGreaterThanOrEqual(end)
            end = part.offset + part.bytes
          }
          expect(shard.bytes).toBe(end)
        }
        reads.forEach((wanted, block) => {
          const held = new Set((layout.ofBlock[block] ?? []).flatMap((s) => layout.shards[s]?.parts.map((p) => p.location) ?? []))
          expect([...held].toSorted()).toEqual(wanted.toSorted())
        })
      }),
    )
  })
})
