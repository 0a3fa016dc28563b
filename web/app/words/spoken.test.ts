import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextSpoken } from './spoken.ts'

describe('nextSpoken', () => {
  it('waits for a sentence to end, then says all that are complete', () => {
    expect(nextSpoken('The sky is', 0, false)).toBe('')
    expect(nextSpoken('One. Two! Thr', 0, false)).toBe('One. Two! ')
    expect(nextSpoken('One. Two! Three', 10, true)).toBe('Three')
  })

  it('takes no decimal point for an end', () => {
    expect(nextSpoken('It is 3.14', 0, false)).toBe('')
  })

  it('says a long run without stops up to its last space', () => {
    expect(nextSpoken('word '.repeat(60) + 'wo', 0, false)).toBe('word '.repeat(60))
  })

  it('says every character once, whatever the pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (pieces) => {
        let text = ''
        let heard = ''
        for (const piece of pieces) {
          text += piece
          heard += nextSpoken(text, heard.length, false)
        }
        heard += nextSpoken(text, heard.length, true)
        expect(heard).toBe(text)
      }),
    )
  })
})
