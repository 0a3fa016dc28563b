import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StopMatcher } from './stop-strings.ts'

const feed = (stop: string | string[], pieces: readonly string[]) => {
  const matcher = new StopMatcher(stop)
  return pieces.map((p) => matcher.push(p)).join('') + matcher.end()
}

describe('stop strings', () => {
  it('cut the text where the first of them begins, however it is cut into pieces', () => {
    const words = fc.array(fc.constantFrom('a', 'b', 'ab', 'ba', ' ', 'x'), { maxLength: 30 })
    fc.assert(
      fc.property(words, (pieces) => {
        const whole = pieces.join('')
        const at = Math.min(...['aba', 'bb'].map((s) => whole.indexOf(s)).filter((i) => i >= 0))
        expect(feed(['aba', 'bb'], pieces)).toBe(at === Infinity ? whole : whole.slice(0, at))
      }),
    )
  })

  it('let text through as soon as it can be part of none', () => {
    const matcher = new StopMatcher('END')
    expect(matcher.push('hello E')).toBe('hello ')
    expect(matcher.push('x')).toBe('Ex')
    expect(matcher.push(' EN')).toBe(' ')
    expect(matcher.push('D more')).toBe('')
    expect(matcher.stopped).toBe(true)
    expect(matcher.push('never')).toBe('')
  })

  it('are refused when empty, too long or too many', () => {
    for (const bad of ['', 'x'.repeat(201), Array.from({ length: 9 }, () => 'x')]) {
      expect(() => new StopMatcher(bad)).toThrow(/stop takes/)
    }
  })
})
