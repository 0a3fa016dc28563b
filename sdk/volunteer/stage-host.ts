/**
 * The port to wherever a stage computes: a worker in a page, this process in Node. A host is used for one assignment and
 * then ended, which is the only way to give a browser its memory back.
 */
import type { StageApi } from '../../worker/api.ts'

export interface StageHost {
  readonly api: StageApi
  /** The compute side broke without saying so: a crash of the worker. */
  readonly crashed: Promise<Error>
  /** Ends it at once, in the middle of whatever runs. */
  end(): Promise<void>
}

export type MakeStageHost = () => StageHost
