import { expect, it } from 'vitest'
import { asError, ManyhandsError } from './errors.ts'

it('an error of another bundle’s copy of the class keeps its code, its sentence and when to come again', () => {
  const theirs = Object.assign(new Error('All places are taken.'), {
    name: 'ManyhandsError',
    code: 'busy',
    retryable: true,
    retryAfterMs: 5,
  })
  const error = asError(theirs)
  expect(error).toBeInstanceOf(ManyhandsError)
  expect(error).toMatchObject({ code: 'busy', message: 'All places are taken.', retryable: true, retryAfterMs: 5, cause: theirs })
})

it('what only looks like one is what it is', () => {
  const odd = Object.assign(new Error('x'), { name: 'ManyhandsError', code: 'no-such-code' })
  expect(asError(odd)).toMatchObject({ code: 'internal', message: 'x' })
  expect(asError(new DOMException('stop', 'AbortError')).code).toBe('aborted')
  expect(asError('text')).toMatchObject({ code: 'internal', message: 'text' })
})
