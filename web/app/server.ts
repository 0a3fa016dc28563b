/**
 * What the page asks its server over plain HTTP: JSON, checked on arrival, with errors in the words that sockets have too.
 */
import * as v from 'valibot'
import { asError, fromWire, ManyhandsError } from '../../protocol/errors.ts'
import { wireErrorSchema } from '../../protocol/link-messages.ts'

/** A server that does not answer by then is as good as gone; the next try may find it back. */
const answerMs = 15_000

const refusalSchema = v.object({ error: wireErrorSchema })

export interface Asking {
  readonly method?: 'GET' | 'POST' | 'PATCH'
  /** An owner's or operator's key. */
  readonly key?: string
  readonly body?: unknown
  readonly signal?: AbortSignal
}

/** @throws ManyhandsError what the server said; unavailable when it did not answer; bad-message when that was something else */
export async function ask<T extends v.GenericSchema>(schema: T, path: string, asking: Asking = {}): Promise<v.InferOutput<T>> {
  const { method = 'GET', key, body, signal } = asking
  const late = AbortSignal.timeout(answerMs)
  let response: Response
  let said: unknown
  try {
    response = await fetch(path, {
      method,
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, late]) : late,
    })
    said = await response.json()
  } catch (cause) {
    if (signal?.aborted) throw asError(signal.reason)
    throw new ManyhandsError('unavailable', 'The server gave no answer.', { cause })
  }
  if (!response.ok) {
    const refusal = v.safeParse(refusalSchema, said)
    if (!refusal.success) throw new ManyhandsError('unavailable', `The server answered with status ${response.status}.`)
    throw fromWire(refusal.output.error)
  }
  const parsed = v.safeParse(schema, said)
  if (!parsed.success)
    throw new ManyhandsError('bad-message', 'The server answered something that this page does not know. Load the page again.')
  return parsed.output
}
