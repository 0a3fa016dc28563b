/** The catalogue of the whole network: the models whose swarms are here, and those that other servers have, as these say. */
import type { Revision } from '../protocol/ids.ts'
import type { Manifest } from '../protocol/manifest.ts'
import type { ModelInfo, Publication } from '../protocol/server-messages.ts'
import { planOf, type StageCount } from './swarm.ts'

export interface PublishedModel {
  readonly revision: Revision
  readonly manifest: Manifest
  readonly publication: Publication
}

/** How a swarm is. */
export type SwarmInfo = Pick<ModelInfo, 'availability' | 'volunteers' | 'stages'>

export function modelInfo({ revision, manifest, publication }: PublishedModel, swarm: SwarmInfo): ModelInfo {
  return {
    name: manifest.name,
    title: manifest.title,
    task: manifest.task,
    license: manifest.license,
    revision,
    bytes: manifest.graph.bytes + manifest.shards.reduce((sum, s) => sum + s.bytes, 0),
    context: manifest.decoder?.context ?? 0,
    availability: swarm.availability,
    volunteers: swarm.volunteers,
    blocks: manifest.blocks.length,
    stages: swarm.stages,
    publication,
  }
}

/** In the library's order; a swarm of which nobody has said anything has nobody. */
export function catalogueOf(
  models: readonly PublishedModel[],
  own: readonly ModelInfo[],
  elsewhere: (revision: Revision) => SwarmInfo | undefined,
  stages: StageCount,
): ModelInfo[] {
  const here = new Map(own.map((info) => [info.revision, info]))
  return models.map((model) => {
    const deserted = (): SwarmInfo => ({
      availability: 'unavailable',
      volunteers: 0,
      stages: planOf(model.manifest, stages).map(({ first, end }) => ({ blocks: [first, end], ready: 0 })),
    })
    return here.get(model.revision) ?? modelInfo(model, elsewhere(model.revision) ?? deserted())
  })
}
