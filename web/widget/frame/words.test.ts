import { describe, expect, it } from 'vitest'
import { fill, pickWords } from './words.ts'

describe('the frame’s words', () => {
  it('are in the language asked for, in any of its variants, and else in the next that there is', () => {
    expect(pickWords('de-AT').lang).toBe('de')
    expect(pickWords('EN').lang).toBe('en')
    expect(pickWords('tlh', 'de').lang).toBe('de')
    expect(pickWords('', 'tlh').lang).toBe('en')
  })

  it('say the same in every language: the same texts, with the same places to fill', () => {
    const places = (words: object): unknown =>
      Object.fromEntries(
        Object.entries(words).map(([key, word]: [string, unknown]) => [
          key,
          typeof word === 'string' ? (word.match(/\{\w+\}/g) ?? []).sort() : places(word as object),
        ]),
      )
    expect(places(pickWords('de').words)).toEqual(places(pickWords('en').words))
  })

  it('fill in what is known', () => {
    expect(fill('Help {project} at {place}', { project: 'Ada & <Co>' })).toBe('Help Ada & <Co> at {place}')
  })
})
