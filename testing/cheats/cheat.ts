/**
 * Volunteers that compute wrongly, for tests of who finds them. A cheat wraps what the shipped worker is made of from outside:
 * its engine's sessions, or the loaded stage; until the stage serves, it behaves, so that the golden check passes.
 */
import type { StageEngine, LoadRequest } from '../../worker/engine/engine.ts'
import type { StagePlatform, LoadOptions } from '../../worker/engine/load-stage.ts'
import { loadStage } from '../../worker/engine/load-stage.ts'
import type { OrtSource } from '../../worker/engine/ort-source.ts'
import type { StageEvent, StageRequest } from '../../worker/api.ts'

export interface Cheat {
  /** Sessions of another graph or other weights, once `serving` says so. */
  readonly ort?: (ort: OrtSource, serving: () => boolean) => OrtSource
  /** What the compute side tells its page, changed; what it keeps to itself is undefined. */
  readonly tells?: (event: StageEvent, request: StageRequest) => StageEvent | undefined | Promise<StageEvent | undefined>
  /** Done to the shipped classes before anything is made of them. */
  readonly patch?: () => void
  /** What is done to the stage once it is loaded; `load` loads any other range of the same model honestly. */
  readonly stage?: (stage: StageEngine, load: (range: LoadRequest['range']) => Promise<StageEngine>) => Promise<StageEngine> | StageEngine
}

/** As `loadStage`, for a volunteer that cheats from the moment it serves. */
export async function loadCheatingStage(
  cheat: Cheat,
  request: LoadRequest,
  platform: StagePlatform,
  options: LoadOptions,
): Promise<StageEngine> {
  let serving = false
  const ort = cheat.ort?.(platform.ort, () => serving) ?? platform.ort
  const honest = await loadStage(request, { ...platform, ort }, options)
  serving = true
  return (await cheat.stage?.(honest, (range) => loadStage({ ...request, range }, platform, options))) ?? honest
}
