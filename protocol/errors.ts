/**
 * One error type for the whole network: a code from one union, a sentence for people, and whether trying again helps.
 * It survives a worker and a socket as plain data (`toWire`, `fromWire`).
 */

/** Each code says who can do something about it; the sentence for people says what. */
export const errorCodes = [
  'aborted', // the caller's signal
  'bad-input', // the caller passed something that can't be used: wrong dtype, shape, option
  'bad-message', // a peer or client sent something malformed, oversize or out of order
  'bad-model', // a graph, GGUF, manifest or shard that can't be parsed or does not hold together
  'bad-ticket', // another's ticket, an expired or superseded one
  'bad-signature',
  'busy', // every place is taken; retryAfterMs says when to come again
  'closed', // this connection or session was closed by its owner
  'context-overflow', // prompt (and answer) longer than the model's context
  'disputed', // those who computed it did not agree on what it is
  'engine-failed', // the ONNX session could not be made or run
  'forbidden', // the key that came along is wrong, revoked, or not for this page
  'gap', // a frame beyond the rows held: ask again from `held`
  'hash-mismatch', // bytes that are not what their address says
  'insecure-context', // no TLS: the browser hides WebGPU, OPFS and WebCrypto
  'internal', // a bug of ours
  'no-space', // the disk or the quota is full
  'no-volunteers', // nobody online for some blocks of the model
  'not-finite', // NaN or infinity where a number must be
  'not-found',
  'out-of-memory',
  'peer-lost', // a peer of the pipeline went away
  'rate-limited', // slow down; retryAfterMs says for how long
  'replayed', // a nonce, frame or message seen before
  'timeout',
  'unavailable', // the server or a source of files did not answer
  'unknown-model',
  'unsupported', // valid, but not done by this peer, browser or version
] as const

export type ErrorCode = (typeof errorCodes)[number]

const retryableCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'busy',
  'disputed',
  'no-volunteers',
  'peer-lost',
  'rate-limited',
  'timeout',
  'unavailable',
  'out-of-memory',
])

export interface WireError {
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfterMs?: number
}

export interface ErrorOptions {
  readonly retryAfterMs?: number
  readonly cause?: unknown
}

export class ManyhandsError extends Error {
  override readonly name = 'ManyhandsError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly retryAfterMs?: number

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = retryableCodes.has(code)
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
  }

  toWire(): WireError {
    const wire = { code: this.code, message: this.message.slice(0, maxErrorChars) }
    return this.retryAfterMs === undefined ? wire : { ...wire, retryAfterMs: this.retryAfterMs }
  }
}

/** Longest error sentence that travels: a screenful, and no way to fill a log. */
export const maxErrorChars = 1000

export const isErrorCode = (s: unknown): s is ErrorCode => (errorCodes as readonly unknown[]).includes(s)

export function fromWire(wire: WireError): ManyhandsError {
  return new ManyhandsError(wire.code, wire.message, again(wire.retryAfterMs))
}

/** Any thrown thing as a ManyhandsError; ours pass unchanged, an AbortError becomes `aborted`, the rest `code`. */
export function asError(thrown: unknown, code: ErrorCode = 'internal'): ManyhandsError {
  if (thrown instanceof ManyhandsError) return thrown
  if (isOurs(thrown)) return new ManyhandsError(thrown.code, thrown.message, { cause: thrown, ...again(thrown.retryAfterMs) })
  if (thrown instanceof Error && thrown.name === 'AbortError') return new ManyhandsError('aborted', 'Stopped.', { cause: thrown })
  return new ManyhandsError(code, thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
}

/** Of another copy of this class: two bundles have one each. */
const isOurs = (thrown: unknown): thrown is ManyhandsError =>
  thrown instanceof Error && thrown.name === 'ManyhandsError' && 'code' in thrown && isErrorCode(thrown.code)

const again = (retryAfterMs: number | undefined) => (retryAfterMs === undefined ? {} : { retryAfterMs })

/** What crosses a worker: a value, or a typed error as data. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: WireError }

export async function outcome<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await work() }
  } catch (thrown) {
    return { ok: false, error: asError(thrown).toWire() }
  }
}

/** @throws ManyhandsError when the outcome is not ok. */
export function unwrap<T>(result: Outcome<T>): T {
  if (result.ok) return result.value
  throw fromWire(result.error)
}
