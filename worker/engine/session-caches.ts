/**
 * Key-value caches by session, each of the capacity its session asked for, all within the stage's memory bound. A cache is
 * written in place by the model, so that going back is setting a number.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import type { Decoder } from '../../protocol/manifest.ts'
import type { CachePort } from './cache-ports.ts'
import type { Resident, Runtime } from './runtime.ts'

export interface SessionCache {
  readonly maxPositions: number
  /** Rows in it. */
  held: number
  /** By input name: what runs are fed. */
  readonly pasts: ReadonlyMap<string, Resident>
  /** By output name: the same tensors, where runs write. */
  readonly presents: ReadonlyMap<string, Resident>
}

/** f32. */
const elementBytes = 4

export class SessionCaches {
  /** Positions that fit the bound, over all sessions. */
  readonly positions: number
  readonly #runtime: Runtime
  readonly #ports: readonly CachePort[]
  readonly #decoder: Decoder
  readonly #open = new Map<SessionId, { readonly cache: SessionCache; readonly release: () => void }>()
  #reserved = 0

  /** @param roomBytes what the memory bound leaves beside the weights */
  constructor(runtime: Runtime, ports: readonly CachePort[], decoder: Decoder, roomBytes: number) {
    this.#runtime = runtime
    this.#ports = ports
    this.#decoder = decoder
    const perPosition = ports.length * decoder.kvHeads * decoder.headDim * elementBytes
    this.positions = perPosition === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, Math.floor(roomBytes / perPosition))
  }

  /** @throws ManyhandsError bad-input, context-overflow, out-of-memory */
  open(session: SessionId, maxPositions: number): void {
    const { context, kvHeads, headDim } = this.#decoder
    if (this.#open.has(session)) throw new ManyhandsError('bad-input', `Session ${session} is open already.`)
    if (!Number.isInteger(maxPositions) || maxPositions < 1)
      throw new ManyhandsError('bad-input', 'A session needs room for a position at least.')
    if (maxPositions > context)
      throw new ManyhandsError('context-overflow', `The model has ${context} positions, not ${maxPositions}: ask for less.`)
    const left = this.positions - this.#reserved
    if (maxPositions > left) {
      throw new ManyhandsError(
        'out-of-memory',
        `There is room for ${left} more positions here, not for ${maxPositions}: try again when others have ended.`,
      )
    }
    const block = this.#runtime.allocate(this.#ports.map(() => [1, kvHeads, maxPositions, headDim]))
    const named = (key: keyof CachePort) => new Map(this.#ports.map((port, i) => [port[key], block.tensors[i] as Resident]))
    this.#open.set(session, {
      cache: { maxPositions, held: 0, pasts: named('past'), presents: named('present') },
      release: () => block.release(),
    })
    this.#reserved += maxPositions
  }

  get(session: SessionId): SessionCache | undefined {
    return this.#open.get(session)?.cache
  }

  /** Forgets the session; its memory may be in use by a run, so the caller says when it is let go. */
  close(session: SessionId): (() => void) | undefined {
    const open = this.#open.get(session)
    if (!open) return undefined
    this.#open.delete(session)
    return () => {
      this.#reserved -= open.cache.maxPositions
      open.release()
    }
  }
}
