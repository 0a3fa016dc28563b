/** A wait that its caller may give up. */
import { deferred } from '../../link/deferred.ts'
import { ManyhandsError } from '../../protocol/errors.ts'

/** @throws ManyhandsError aborted as soon as the signal says so */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  const aborted = deferred<never>()
  const onAbort = () => aborted.reject(new ManyhandsError('aborted', 'Stopped.'))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
