import { expect, it } from 'vitest'
import { standingWords } from './standing.ts'

const words = (state: 'new' | 'proven' | 'anchor' | 'barred', agreements = 12, strikes = 0) =>
  standingWords({ state, agreements, needed: 90, strikes, rows: 4000 })

it('a newcomer hears how far it is on the way, and what set it back', () => {
  expect(words('new').text).toContain('checked against others’ first: 12 of 90 agreements.')
  expect(words('new').text).not.toContain('anew')
  expect(words('new', 3, 1).text).toContain('began anew')
})

it('who is proven, vouched for or not relied on hears why', () => {
  expect(words('proven', 120).text).toContain('120 pieces of your work were computed by others too')
  expect(words('proven', 1).text).toContain('1 piece of your work was')
  expect(words('anchor').title).toBe('Vouched for')
  expect(words('barred', 0, 1).text).toContain('differed from your results once')
  expect(words('barred', 0, 3).text).toContain('3 times')
})
