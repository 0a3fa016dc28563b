import { describe, expect, it } from 'vitest'
import { errorCodes, ManyhandsError } from '../../../protocol/errors.ts'
import { trouble } from './trouble.ts'

describe('trouble', () => {
  it('has a title and the error’s own sentence for every code but aborted', () => {
    for (const code of errorCodes) {
      const words = trouble(new ManyhandsError(code, 'What happened.'))
      if (code === 'aborted') expect(words).toBeUndefined()
      else expect(words).toMatchObject({ title: expect.stringMatching(/\w/), said: 'What happened.' })
    }
  })

  it('says when to come again', () => {
    expect(trouble(new ManyhandsError('busy', 'Four answers wait.', { retryAfterMs: 4200 }))?.advice).toContain('Try again in 4 s.')
  })

  it('points to giving where volunteers are what is missing', () => {
    expect(trouble(new ManyhandsError('no-volunteers', 'Blocks 3 to 9 are free.'))?.remedy).toBe('give')
  })
})
