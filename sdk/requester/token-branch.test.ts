import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import type { AnswerPiece, AnswerToken } from '../types.ts'
import { TextQueue } from './text-queue.ts'
import { TokenBranch } from './token-branch.ts'

const line = fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 6 })

describe('what enough pipelines agree on', () => {
  it('is the longest beginning that so many of them share, in whatever order they speak', () => {
    fc.assert(
      fc.property(fc.array(line, { minLength: 3, maxLength: 3 }), fc.infiniteStream(fc.nat(2)), (said, turns) => {
        const branch = new TokenBranch(2)
        const lines = said.map(() => ({ ids: [] as number[] }))
        const told: number[] = []
        while (lines.some((l, i) => l.ids.length < (said[i]?.length ?? 0))) {
          const turn = turns.next().value as number
          const next = said[turn]?.[lines[turn]?.ids.length ?? 0]
          if (next === undefined) {
            // Whoever has said all is passed over for the next who has not.
            const other = lines.findIndex((l, i) => l.ids.length < (said[i]?.length ?? 0))
            lines[other]?.ids.push(said[other]?.[lines[other]?.ids.length ?? 0] as number)
          } else lines[turn]?.ids.push(next)
          told.push(...branch.advance(lines))
        }
        const shared = (a: readonly number[], b: readonly number[]) => {
          let n = 0
          while (n < a.length && n < b.length && a[n] === b[n]) n++
          return a.slice(0, n)
        }
        const pairs = [shared(said[0] ?? [], said[1] ?? []), shared(said[0] ?? [], said[2] ?? []), shared(said[1] ?? [], said[2] ?? [])]
        const longest = pairs.reduce((a, b) => (b.length > a.length ? b : a))
        expect(branch.ids).toEqual(longest)
        expect(told).toEqual(longest)
      }),
    )
  })

  it('is contradicted by who left it, by who said otherwise after it, and by who ended before it', () => {
    const branch = new TokenBranch(2)
    const a = { ids: [1, 2, 3], over: false }
    const b = { ids: [1, 2], over: false }
    const left = { ids: [7], over: false }
    branch.advance([a, b, left])
    expect(branch.ids).toEqual([1, 2])
    expect(branch.agree(a, b)).toBe(true)
    expect(branch.agree(a, left)).toBe(false)
    expect(branch.agree(a, { ids: [1, 2, 4], over: false })).toBe(false)
    expect(branch.agree(a, { ids: [1, 2], over: true })).toBe(false)
    branch.closed = true
    expect(branch.agree(a, { ids: [1, 2], over: true })).toBe(true)
    expect(branch.agree(a, { ids: [1], over: true })).toBe(false)
  })
})

const letterToken = (letter: string): AnswerToken => ({ id: letter.charCodeAt(0), bytes: utf8(letter), logprob: -1, top: [] })

describe('a text told again', () => {
  it('adds to what was said where it goes on, whatever pieces it comes in, and adds nothing once it differs', async () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 })
    const pieces = (whole: string, size: number) => whole.match(new RegExp(`.{1,${size}}`, 'g')) ?? []
    await fc.assert(
      fc.asyncProperty(text, text, fc.integer({ min: 1, max: 3 }), async (first, second, size) => {
        const queue = new TextQueue()
        const [tell, tellAgain] = [queue.teller(), queue.teller()]
        const told = (text: string) => ({ text, tokens: Array.from(text, letterToken) })
        for (const piece of pieces(first, 2)) tell(told(piece))
        for (const piece of pieces(second, size)) tellAgain(told(piece))
        queue.finish()
        const read: AnswerPiece[] = []
        for await (const piece of queue) read.push(piece)
        const said = read.map((piece) => piece.text).join('')
        expect(said).toBe(second.startsWith(first) ? second : first)
        expect(queue.text).toBe(said)
        expect(read.flatMap(({ tokens }) => tokens)).toEqual(Array.from(said, letterToken))
      }),
    )
  })
})
