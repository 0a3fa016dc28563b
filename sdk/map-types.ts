/** The types of `net.map`: one run for each of many inputs. Part of the SDK's public surface; see types.ts. */
import type { Tensor } from 'onnxruntime-common'
import type { ManyhandsError } from '../protocol/errors.ts'
import type { RunCorrection, RunResult, Verification } from './types.ts'

/** What goes into a run: onnxruntime's own `Tensor`, or any object with the same three. */
export type Feed = Pick<Tensor, 'type' | 'dims' | 'data'>

/** A model's inputs by name. */
export type Feeds = Readonly<Record<string, Feed>>

export type OnMapError = 'throw' | 'keep'

export interface MapOptions<I = Feeds, E extends OnMapError = 'throw'> {
  /** Makes an input's feeds when its turn comes, and again where it is tried again; needed unless the inputs are feeds. */
  feeds?(input: I, index: number): Feeds | Promise<Feeds>
  /**
   * What becomes of an input that can't be computed. `throw` (default): iterating throws its error when its turn comes, and the rest is
   * stopped. `keep`: it comes as an item with `ok: false`, and the rest goes on.
   */
  readonly onError?: E
  /** Runs under way at once, 1 to 32 at most. As many as the network turns out to take, when absent. */
  readonly concurrency?: number
  /** Times that an input is tried which fails in a way that may pass, 1 to 100; default 5. Waiting for a place costs none. */
  readonly tries?: number
  /** Go on from here: what was done with then is neither computed nor given out. Of the same inputs in the same order. */
  readonly resume?: MapCheckpoint
  /** How many inputs there are, for `onProgress`; known without it when they are an array. */
  readonly of?: number
  readonly verify?: Verification
  /** Stops everything. */
  readonly signal?: AbortSignal
  onProgress?(progress: MapProgress): void
  /** Results that were handed out were found wrong: these take their place. */
  onCorrection?(correction: RunCorrection & { readonly index: number }): void
}

export interface MapProgress {
  /** Inputs with results, those of a checkpoint among them. */
  readonly done: number
  readonly failed: number
  readonly underWay: number
  readonly of?: number
}

/** What is done with, by place: plain JSON to be kept anywhere. */
export interface MapCheckpoint {
  readonly v: 1
  /** Of the model. */
  readonly revision: string
  /** [first, endExclusive] places, ascending. */
  readonly done: readonly (readonly [number, number])[]
}

export interface MapDone<I = Feeds> {
  readonly ok: true
  /** The input's place. */
  readonly index: number
  readonly input: I
  readonly result: RunResult
}

export interface MapFailed<I = Feeds> {
  readonly ok: false
  readonly index: number
  readonly input: I
  readonly error: ManyhandsError
}

export type MapItem<I = Feeds, E extends OnMapError = 'throw'> = E extends 'keep' ? MapDone<I> | MapFailed<I> : MapDone<I>

/**
 * Iterate for items in the inputs' order, as soon as each one's turn comes; await for all of them. One of both, once. Nothing begins
 * before, and inputs are taken only as items are: a slow reader holds everything back, and no more than some dozen results wait.
 */
export interface Mapping<T> extends AsyncIterable<T>, PromiseLike<readonly T[]> {
  /**
   * Which inputs are done with: those whose successor was asked for. Failed ones are not, so that going on from here tries them
   * again. Undefined before the model is known.
   */
  checkpoint(): MapCheckpoint | undefined
}
