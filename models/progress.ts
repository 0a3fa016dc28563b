/**
 * How far an import is, for a terminal or a page: what is being done, and of which amount how much.
 */
export interface ImportProgress {
  readonly phase: 'downloading' | 'unpacking' | 'checking' | 'writing' | 'golden'
  /** What it concerns: a source, a model. */
  readonly what: string
  /** Bytes, or runs of the model for `golden`. `total` is 0 where it is not known. */
  readonly done: number
  readonly total: number
  /** Seconds to go at the pace so far; only of downloads, once there is a pace. */
  readonly secondsLeft?: number
}

export type OnProgress = (progress: ImportProgress) => void
