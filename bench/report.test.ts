import { describe, expect, it } from 'vitest'
import { withParts } from './report.ts'

describe('parts measured anew', () => {
  it('take the place of those with their title; new ones come at the end, and all else stays', () => {
    const report = '# Benchmarks\n\nHow.\n\n## One\nold\n\n| a |\n\n## Two\nkept\n'
    expect(withParts(report, ['## Three\nnew', '## One\nfresh'])).toBe(
      '# Benchmarks\n\nHow.\n\n## One\nfresh\n\n## Two\nkept\n\n## Three\nnew\n',
    )
  })
})
