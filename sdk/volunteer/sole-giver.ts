/**
 * One tab of a browser gives at a time: a second one would halve what the first computes and double what the person agreed to.
 * The right to be that tab is a Web Lock, so that it is free the moment its tab is gone.
 */
import { deferred } from '../../link/deferred.ts'

/** The right to give, held until it is released or the tab is gone. */
export interface Seat {
  /** Another tab took it, at its person's word. */
  readonly lost: Promise<void>
  release(): void
}

export interface SeatOptions {
  /** Stops waiting for it. */
  readonly signal: AbortSignal
  /** Another tab has it: from here on this one waits until that one is gone. */
  readonly busy: () => void
  /** Takes it from whoever has it, also from a frozen tab, which would keep it: only at the person's word. */
  readonly steal?: boolean
}

/** What giving tabs of one browser share; a widget's frames have it once for each site that embeds them. */
export const givingLock = 'manyhands-giving'

/** The seat, once it is free; undefined when the signal came first. Where a browser has no locks, everybody may sit. */
export async function soleGiver(name: string, options: SeatOptions): Promise<Seat | undefined> {
  const { signal, busy, steal = false } = options
  const locks = globalThis.navigator?.locks as LockManager | undefined
  if (!locks) return freely()
  try {
    if (steal) return await sit(locks, name, { steal })
    const free = await sit(locks, name, { ifAvailable: true })
    if (free || signal.aborted) return free
    busy()
    return await sit(locks, name, { signal })
  } catch {
    // It was told to wait no longer, or the browser gives this page no locks (a sandboxed frame without an origin).
    return signal.aborted ? undefined : freely()
  }
}

const freely = (): Seat => ({ lost: new Promise(() => undefined), release: () => undefined })

/** Undefined where it is not to be had at once and that was asked for. */
function sit(locks: LockManager, name: string, options: LockOptions): Promise<Seat | undefined> {
  return new Promise((resolve, reject) => {
    const lost = deferred<void>()
    const held = { yet: false }
    locks
      .request(name, options, (lock) => {
        if (!lock) return resolve(undefined)
        held.yet = true
        return new Promise<void>((release) => resolve({ lost: lost.promise, release }))
      })
      // A lock that is stolen rejects while what it guards still runs.
      .catch((thrown: unknown) => (held.yet ? lost.resolve() : reject(thrown as Error)))
  })
}
