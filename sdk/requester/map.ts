/**
 * `net.map`: one `run` for each of many inputs, spread over as many volunteers as have room, results in the inputs' order.
 * The work itself is bulk.ts's; here is what makes it runs of a model, and what the caller may iterate, await or go on from.
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Feeds, MapCheckpoint, MapItem, MapOptions, Mapping, OnMapError } from '../map-types.ts'
import type { RunOptions, RunResult } from '../types.ts'
import type { Bulk } from './bulk.ts'
import { DonePlaces, readCheckpoint } from './checkpoint.ts'
import type { RequesterNetwork } from './network.ts'
import { pipelinesFor } from './verification.ts'
import { wait } from './wait.ts'

/** A model that can be run, as map needs it. */
export interface MapModel {
  readonly revision: string
  /** Stages that serve now, over all pipelines: one run each keeps them all at work. */
  readonly places: number
  run(feeds: Feeds, options: RunOptions): Promise<RunResult>
}

/** @throws ManyhandsError unknown-model; bad-input for one that generates text */
export async function mapModel(network: RequesterNetwork, model: string, signal: AbortSignal | undefined): Promise<MapModel> {
  // With onnxruntime's tensors: not before they are wanted.
  const { runFeeds, runnable } = await import('./run.ts')
  const it = await runnable(network, model, signal)
  const info = (await network.models(signal)).find(({ revision }) => revision === it.revision)
  return {
    revision: it.revision,
    places: (info?.stages ?? []).reduce((sum, { ready }) => sum + ready, 0),
    run: (feeds, options) => runFeeds(network, it, feeds, options),
  }
}

/** Past this one requester takes the places of others; the server shares them out anyway. */
const mostAtOnce = 32
const usualTries = 5
const mostTries = 100

export class RunMapping<I, E extends OnMapError> implements Mapping<MapItem<I, E>> {
  readonly #open: () => Promise<MapModel>
  readonly #inputs: Iterable<I> | AsyncIterable<I>
  readonly #options: MapOptions<I, E>
  #used = false
  #revision: string | undefined
  #done = new DonePlaces()

  constructor(open: () => Promise<MapModel>, inputs: Iterable<I> | AsyncIterable<I>, options: MapOptions<I, E>) {
    this.#open = open
    this.#inputs = inputs
    this.#options = options
  }

  checkpoint(): MapCheckpoint | undefined {
    return this.#revision === undefined ? this.#options.resume : { v: 1, revision: this.#revision, done: this.#done.ranges }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MapItem<I, E>, void, void> {
    if (this.#used) throw new ManyhandsError('bad-input', 'What map() returns can be iterated or awaited once.')
    this.#used = true
    const bulk = await this.#begin()
    try {
      for (;;) {
        const piece = await bulk.next()
        if (!piece) return
        if (!piece.ok && this.#options.onError !== 'keep') throw piece.error
        yield piece as MapItem<I, E>
        // Only once the caller comes for the next one is it through with this one.
        if (piece.ok) this.#done.add(piece.index)
      }
    } finally {
      bulk.stop()
    }
  }

  // oxlint-disable-next-line unicorn/no-thenable -- awaiting it is half of what it is for
  then<A = readonly MapItem<I, E>[], B = never>(
    onDone?: ((items: readonly MapItem<I, E>[]) => A | PromiseLike<A>) | null,
    onFailed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#all().then(onDone, onFailed)
  }

  async #all(): Promise<readonly MapItem<I, E>[]> {
    const items: MapItem<I, E>[] = []
    for await (const item of this) items.push(item)
    return items
  }

  async #begin(): Promise<Bulk<I, RunResult>> {
    const { signal, verify, feeds, resume, concurrency = mostAtOnce, tries = usualTries, onCorrection } = this.#options
    checkOptions(this.#inputs, this.#options)
    const [{ Bulk }, model] = await Promise.all([import('./bulk.ts'), this.#open()])
    this.#done = new DonePlaces(resume === undefined ? [] : readCheckpoint(resume, model.revision).done)
    this.#revision = model.revision
    const known = new DonePlaces(this.#done.ranges)
    const of = this.#options.of ?? (Array.isArray(this.#inputs) ? this.#inputs.length : undefined)
    return new Bulk<I, RunResult>(
      this.#inputs,
      {
        work: async (input, index, { signal, onProgress }) =>
          model.run(feeds ? await feeds(input, index) : (input as Feeds), {
            signal,
            onProgress,
            ...(verify === undefined ? {} : { verify }),
            ...(onCorrection ? { onCorrection: (correction) => onCorrection({ ...correction, index }) } : {}),
          }),
        wait,
        now: () => performance.now(),
      },
      {
        first: model.places,
        most: concurrency,
        tries,
        isDone: (index) => known.has(index),
        onChange: (counts) => this.#options.onProgress?.(of === undefined ? counts : { ...counts, of }),
        signal,
      },
    )
  }
}

/** @throws ManyhandsError bad-input */
function checkOptions<I, E extends OnMapError>(inputs: unknown, { verify, onError, concurrency, tries }: MapOptions<I, E>): void {
  pipelinesFor(verify)
  if (typeof inputs !== 'object' || inputs === null || !(Symbol.iterator in inputs || Symbol.asyncIterator in inputs))
    throw new ManyhandsError('bad-input', 'map takes a list of inputs, or anything else that can be iterated.')
  if (onError !== undefined && !['throw', 'keep'].includes(onError))
    throw new ManyhandsError('bad-input', "onError takes 'throw' or 'keep'.")
  checkCount('concurrency', concurrency, mostAtOnce)
  checkCount('tries', tries, mostTries)
}

function checkCount(name: string, value: number | undefined, most: number): void {
  if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most))
    throw new ManyhandsError('bad-input', `${name} takes a whole number from 1 to ${most}.`)
}
