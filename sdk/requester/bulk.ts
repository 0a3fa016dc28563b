/**
 * Many pieces of work, some at once, their results in the order of what they were made from. Pieces are taken only as results
 * are fetched, so that a slow reader holds everything back; one that fails for a while is tried again. Knows nothing of
 * models: what a piece is and who does it is handed in (map.ts, embed.ts).
 */
import { deferred, type Deferred } from '../../link/deferred.ts'
import { asError, ManyhandsError, type ErrorCode } from '../../protocol/errors.ts'
import type { Progress } from '../types.ts'
import { abortable } from './abortable.ts'
import { Pace } from './pace.ts'

export interface BulkPorts<I, R> {
  /** Does one piece. */
  work(input: I, index: number, options: { readonly signal: AbortSignal; onProgress(progress: Progress): void }): Promise<R>
  wait(ms: number, signal: AbortSignal): Promise<void>
  /** Milliseconds since some moment. */
  now(): number
}

export interface BulkTerms {
  /** Under way at once: to begin with, and at most. */
  readonly first: number
  readonly most: number
  /** Times that a piece is tried which fails in a way that may pass. */
  readonly tries: number
  /** Whether this piece is done already; it is then left out. */
  isDone?(index: number): boolean
  /** Something came back, was left out or began. */
  onChange?(counts: BulkCounts): void
  readonly signal?: AbortSignal | undefined
}

export interface BulkCounts {
  /** Those left out among them. */
  readonly done: number
  readonly failed: number
  readonly underWay: number
}

export type Piece<I, R> =
  | { readonly ok: true; readonly index: number; readonly input: I; readonly result: R }
  | { readonly ok: false; readonly index: number; readonly input: I; readonly error: ManyhandsError }

/** Results that wait for their turn, and pieces under way, for each one that may be under way at once. */
const aheadPerPlace = 2
/** Being turned away costs no try: a full network empties. But where nothing at all has come back for so long, it is said. */
const patienceMs = 5 * 60_000
/** Before a piece is tried again, where nobody says when: doubled each time. */
const firstWaitMs = 1_000
const longestWaitMs = 30_000

const full: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['busy', 'rate-limited'])

export class Bulk<I, R> {
  readonly #source: AsyncIterator<I> | Iterator<I>
  readonly #ports: BulkPorts<I, R>
  readonly #terms: BulkTerms
  readonly #pace: Pace
  readonly #stop = new AbortController()
  /** The caller's or ours: nothing is begun and nothing waited for any more. */
  readonly #over: AbortSignal
  /** What came before its turn; undefined for what was left out. */
  readonly #ready = new Map<number, Piece<I, R> | undefined>()
  /** Those who wait for a place, by index. */
  readonly #waiting = new Map<number, Deferred<void>>()
  readonly #running = new Set<AbortController>()
  #taken = 0
  #given = 0
  #active = 0
  #open = 0
  #done = 0
  #failed = 0
  #lastGoodAt: number
  #taking = false
  #ended = false
  #sourceError: ManyhandsError | undefined
  #changed = deferred<void>()

  constructor(inputs: Iterable<I> | AsyncIterable<I>, ports: BulkPorts<I, R>, terms: BulkTerms) {
    this.#source = Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]()
    this.#ports = ports
    this.#terms = terms
    this.#pace = new Pace(terms.first, terms.most)
    this.#over = either(terms.signal, this.#stop.signal)
    this.#lastGoodAt = ports.now()
  }

  /**
   * The next piece in order, done or failed; undefined when there are no more. Not to be called before the last call has ended.
   * @throws ManyhandsError aborted, or what the inputs threw, once all before are given out
   */
  async next(): Promise<Piece<I, R> | undefined> {
    for (;;) {
      if (this.#over.aborted) throw new ManyhandsError('aborted', 'Stopped.')
      if (this.#ready.has(this.#given)) {
        const piece = this.#ready.get(this.#given)
        this.#ready.delete(this.#given++)
        void this.#take()
        if (piece) return piece
        continue
      }
      if (this.#ended && this.#given === this.#taken) {
        if (this.#sourceError) throw this.#sourceError
        return undefined
      }
      void this.#take()
      await abortable(this.#changed.promise, this.#over)
    }
  }

  /** Nothing more is wanted: what is under way stops. What is done is not touched: a run may still be corrected. */
  stop(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    for (const piece of this.#running) piece.abort()
    if (!this.#ended) void Promise.resolve(this.#source.return?.()).catch(() => undefined)
    this.#ended = true
  }

  /** Takes inputs, one at a time, while there is room for them. */
  async #take(): Promise<void> {
    if (this.#taking) return
    this.#taking = true
    try {
      while (!this.#ended && this.#hasRoom()) {
        const { done, value } = await this.#source.next()
        if (done === true || this.#over.aborted) {
          this.#ended = true
          break
        }
        const index = this.#taken++
        if (this.#terms.isDone?.(index)) {
          this.#done += 1
          this.#ready.set(index, undefined)
        } else void this.#work(index, value)
        this.#tell()
      }
    } catch (thrown) {
      this.#ended = true
      this.#sourceError = asError(thrown, 'bad-input')
    } finally {
      this.#taking = false
      this.#tell()
    }
  }

  #hasRoom(): boolean {
    return this.#open < this.#pace.limit && this.#taken - this.#given < aheadPerPlace * this.#terms.most
  }

  async #work(index: number, input: I): Promise<void> {
    this.#open += 1
    const piece = await this.#tried(index, input)
    this.#open -= 1
    if (this.#over.aborted) return
    if (piece.ok) this.#done += 1
    else this.#failed += 1
    this.#ready.set(index, piece)
    void this.#take()
    this.#tell()
  }

  async #tried(index: number, input: I): Promise<Piece<I, R>> {
    for (let failures = 0; ;) {
      try {
        const result = await this.#once(index, input)
        this.#lastGoodAt = this.#ports.now()
        return { ok: true, index, input, result }
      } catch (thrown) {
        const error = asError(thrown)
        const turnedAway = full.has(error.code)
        if (turnedAway) this.#pace.turnedAway(this.#active + 1)
        else failures += 1
        const hopeless = turnedAway ? this.#ports.now() - this.#lastGoodAt > patienceMs : failures >= this.#terms.tries
        if (!error.retryable || hopeless || this.#over.aborted) return { ok: false, index, input, error }
        const usual = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.max(0, failures - 1))
        await this.#ports.wait(Math.max(error.retryAfterMs ?? usual, firstWaitMs / 4), this.#over).catch(() => undefined)
      }
    }
  }

  async #once(index: number, input: I): Promise<R> {
    await this.#place(index)
    const stop = new AbortController()
    this.#running.add(stop)
    const signal = either(this.#terms.signal, stop.signal)
    let queued = false
    const onProgress = ({ phase }: Progress) => {
      if (phase !== 'queued') return
      queued = true
      this.#pace.queued(this.#running.size)
    }
    try {
      const result = await abortable(this.#ports.work(input, index, { signal, onProgress }), signal)
      if (!queued) this.#pace.went()
      return result
    } finally {
      this.#running.delete(stop)
      this.#active -= 1
      this.#admit()
    }
  }

  /** Whoever comes first in the order goes first, so that results don't pile up behind one that is missing. */
  #place(index: number): Promise<void> {
    const turn = deferred<void>()
    this.#waiting.set(index, turn)
    this.#admit()
    return abortable(turn.promise, this.#over)
  }

  #admit(): void {
    while (this.#active < this.#pace.limit && this.#waiting.size > 0) {
      const first = Math.min(...this.#waiting.keys())
      this.#active += 1
      this.#waiting.get(first)?.resolve()
      this.#waiting.delete(first)
    }
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = deferred<void>()
    this.#terms.onChange?.({ done: this.#done, failed: this.#failed, underWay: this.#open })
  }
}

const either = (a: AbortSignal | undefined, b: AbortSignal): AbortSignal => (a ? AbortSignal.any([a, b]) : b)
