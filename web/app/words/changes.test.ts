import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { change } from './changes.ts'

describe('what changed', () => {
  it('is told in whole words', () => {
    expect(change('The sky is green today.', 'The sky is great.')).toEqual({ kept: 'The sky is ', was: 'green today.', now: 'great.' })
    expect(change('Paris', 'Rome')).toEqual({ kept: '', was: 'Paris', now: 'Rome' })
    expect(change('One two', 'One two three')).toEqual({ kept: 'One two', was: '', now: ' three' })
    expect(change('One two three', 'One two')).toEqual({ kept: 'One two', was: ' three', now: '' })
    expect(change('One twofold', 'One two')).toEqual({ kept: 'One ', was: 'twofold', now: 'two' })
  })

  it('puts both texts together again', () => {
    const words = fc.array(fc.constantFrom('a', 'ab', ' ', '\n', 'b'), { maxLength: 12 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(words, words, (before, after) => {
        const { kept, was, now } = change(before, after)
        expect(kept + was).toBe(before)
        expect(kept + now).toBe(after)
      }),
    )
  })
})
