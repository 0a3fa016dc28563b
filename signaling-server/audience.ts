/**
 * Whom a volunteer serves, and from where a swarm looks how: people give to the public, to a project first, or to a project
 * alone; whoever asks does so for the public or for a project. Pure. docs/protocol.md [PJ].
 */
import type { ProjectId } from '../protocol/ids.ts'
import type { Volunteer } from './swarm.ts'

/** For whom it is asked; undefined: for the public. */
export type Viewpoint = ProjectId | undefined

/** Whether its work may ever go there. */
export const mayServe = ({ gives }: Volunteer, viewpoint: Viewpoint): boolean =>
  gives === undefined || gives.audience === 'first' || gives.project === viewpoint

/** How far it is from who asks: its own (0), the public's (1 for a project), another project's (last). Of those who may serve. */
export function distance({ gives }: Volunteer, viewpoint: Viewpoint): 0 | 1 | 2 {
  if (gives?.project === viewpoint) return 0
  return gives === undefined || viewpoint === undefined ? 1 : 2
}

/** Whose needs decide what it holds: the project's alone, where nobody else gets anything of it. */
export const viewpointOf = ({ gives }: Volunteer): Viewpoint => (gives?.audience === 'only' ? gives.project : undefined)

/** Those of a swarm who may serve whoever asks from there; the very set where that is everybody. */
export function seenFrom(viewpoint: Viewpoint, members: ReadonlySet<Volunteer>): ReadonlySet<Volunteer> {
  for (const v of members) {
    if (!mayServe(v, viewpoint)) return new Set([...members].filter((other) => mayServe(other, viewpoint)))
  }
  return members
}

/** From where these are to be looked at, the public's viewpoint first. */
export function viewpointsOf(volunteers: Iterable<Volunteer>): Viewpoint[] {
  const viewpoints = new Set<Viewpoint>([undefined])
  for (const v of volunteers) viewpoints.add(viewpointOf(v))
  return [...viewpoints]
}
