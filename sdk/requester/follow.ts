/**
 * An answer from its asking until nothing more is to be heard of it: what is found wrong, in the middle of it or after it, is
 * asked again, and what comes of that takes its place.
 */
import { deferred, type Deferred } from '../../link/deferred.ts'
import { asError, ManyhandsError, type ErrorCode } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Receipt } from '../../protocol/receipt.ts'
import type { Pipeline, Quorum } from './quorum.ts'

/** How often an answer is asked again: the second time only proven volunteers take part, so a third helps nobody. */
const maxCorrections = 2
/** What a lie looks like from here. The server's word on it comes by another socket, within this. */
const verdictMs = 3_000
const lies: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['hash-mismatch', 'bad-signature', 'bad-message', 'not-finite'])

/** One asking of something. */
export interface Asked<T> {
  readonly answer: Promise<T>
  /** The pipelines that it is asked of. */
  readonly quorum: Pick<Quorum<unknown, Pipeline<unknown>>, 'wrong' | 'settled' | 'over' | 'drop'>
}

export interface FollowPorts<T> {
  ask(corrects: SessionId | undefined): Asked<T>
  /** It is being asked again. */
  correcting(reason: string): void
  /** An answer; with the reason why the one before was found wrong. */
  answered(answer: T, reason: string | undefined): void
}

/**
 * @returns the first receipt that is more than provisional; corrections may follow it.
 * @throws ManyhandsError what the answer, or its correction, broke off with
 */
export function follow<T>(ports: FollowPorts<T>): Promise<Receipt> {
  const settled = deferred<Receipt>()
  watch(ports, settled).catch((thrown: unknown) => settled.reject(asError(thrown)))
  return settled.promise
}

async function watch<T>(ports: FollowPorts<T>, settled: Deferred<Receipt>): Promise<void> {
  let asked = ports.ask(undefined)
  let reason: string | undefined
  for (let corrections = 0; ; corrections++) {
    const current = asked
    const { quorum } = current
    const verdict = quorum.wrong.then((wrong) => ({ wrong }))
    let found = await Promise.race([verdict, unlessWrong(current.answer, verdict)])
    if ('value' in found) {
      ports.answered(found.value, reason)
      quorum.settled().then(settled.resolve, (thrown: unknown) => current === asked && settled.reject(asError(thrown)))
      const late = await Promise.race([verdict, quorum.over()])
      if (!late) return
      found = late
    }
    quorum.drop()
    const { session, reason: why } = found.wrong
    if (corrections === maxCorrections)
      throw new ManyhandsError('disputed', `The answer was found wrong ${maxCorrections + 1} times over. The last time: ${why}`)
    reason = why
    ports.correcting(why)
    asked = ports.ask(session)
  }
}

/** An answer that breaks off as if somebody lied waits a moment for the server's word. */
async function unlessWrong<T, W>(answer: Promise<T>, verdict: Promise<W>): Promise<{ value: T } | W> {
  try {
    return { value: await answer }
  } catch (thrown) {
    const error = asError(thrown)
    if (!lies.has(error.code)) throw error
    const late = deferred<never>()
    const timer = setTimeout(() => late.reject(error), verdictMs)
    return Promise.race([verdict, late.promise]).finally(() => clearTimeout(timer))
  }
}
