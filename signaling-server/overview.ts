/**
 * The network as it is at this moment, added up so that five volunteers and five thousand are read alike. Pure: the state is
 * handed in. docs/protocol.md [OV].
 */
import type { PeerId, Revision } from '../protocol/ids.ts'
import {
  maxQuarantines,
  maxShownVolunteers,
  type Coverage,
  type ModelOverview,
  type NetworkOverview,
  type ShownVolunteer,
} from '../protocol/overview.ts'
import type { ModelInfo, StandingInfo } from '../protocol/server-messages.ts'
import { isCounted, isServing, type Swarm, type Volunteer } from './swarm.ts'

export interface OverviewState {
  /** Every model of the network; those without a swarm among `swarms` are another server's. */
  readonly models: readonly ModelInfo[]
  readonly swarms: ReadonlyMap<Revision, Swarm>
  readonly volunteers: readonly Volunteer[]
  trustOf(peer: PeerId): StandingInfo['state']
  /** Sessions under way, requests in line, and rows a second lately. */
  busyness(revision: Revision): Pick<ModelOverview, 'sessions' | 'queued' | 'rowsPerSecond'>
  readonly audits: NetworkOverview['audits']
  readonly quarantines: NetworkOverview['quarantines']
  /** Wall time, and the clock that volunteers' times are by; ms. */
  readonly now: number
  readonly uptime: number
}

export function networkOverview(state: OverviewState): NetworkOverview {
  const { volunteers, now } = state
  return {
    v: 1,
    at: now,
    models: state.models.map((info) => modelOverview(info, state.swarms.get(info.revision), state)),
    volunteers: {
      online: volunteers.filter((v) => v.awaySince === undefined).length,
      serving: volunteers.filter(isServing).length,
      shown: sample(volunteers).map((v) => shownVolunteer(v, state)),
    },
    audits: state.audits,
    quarantines: state.quarantines.slice(0, maxQuarantines),
  }
}

function modelOverview(info: ModelInfo, swarm: Swarm | undefined, state: OverviewState): ModelOverview {
  const { name, title, revision, availability, blocks } = info
  const known = { name, title, revision, availability, blocks, volunteers: info.volunteers, ...state.busyness(revision) }
  if (!swarm) {
    const coverage = info.stages.map((s) => ({ blocks: s.blocks, holders: s.ready, ready: s.ready, proven: 0 }))
    return { ...known, here: false, coverage, backends: { webgpu: 0, wasm: 0 } }
  }
  const serving = [...swarm.members].filter(isServing)
  const on = (backend: string) => serving.filter((v) => v.holding?.ready?.backend === backend).length
  return {
    ...known,
    here: true,
    coverage: coverageOf(blocks, swarm.members, state.trustOf),
    backends: { webgpu: on('webgpu'), wasm: on('wasm') },
  }
}

/** The blocks in runs of those that the same number holds, serves and is proven for: no more runs than blocks, however many hold them. */
export function coverageOf(blocks: number, members: Iterable<Volunteer>, trustOf: OverviewState['trustOf']): Coverage[] {
  const holders = new Steps(blocks)
  const ready = new Steps(blocks)
  const proven = new Steps(blocks)
  for (const v of members) {
    if (!v.holding || !isCounted(v)) continue
    holders.add(v.holding.blocks)
    if (!isServing(v)) continue
    ready.add(v.holding.blocks)
    const trust = trustOf(v.peer)
    if (trust === 'proven' || trust === 'anchor') proven.add(v.holding.blocks)
  }
  const runs: Coverage[] = []
  const [held, served, sure] = [holders.heights(), ready.heights(), proven.heights()]
  for (let at = 0; at < blocks; at++) {
    const now = { holders: held[at] ?? 0, ready: served[at] ?? 0, proven: sure[at] ?? 0 }
    const last = runs.at(-1)
    const goesOn = last && last.holders === now.holders && last.ready === now.ready && last.proven === now.proven
    if (goesOn) runs[runs.length - 1] = { ...last, blocks: [last.blocks[0], at + 1] }
    else runs.push({ blocks: [at, at + 1], ...now })
  }
  return runs
}

/** How many ranges lie over each place, from where they begin and end alone. */
class Steps {
  readonly #steps: Int32Array

  constructor(places: number) {
    this.#steps = new Int32Array(places + 1)
  }

  add({ first, end }: { readonly first: number; readonly end: number }): void {
    this.#steps[first] = (this.#steps[first] ?? 0) + 1
    this.#steps[end] = (this.#steps[end] ?? 0) - 1
  }

  heights(): number[] {
    let height = 0
    return Array.from(this.#steps, (step) => (height += step))
  }
}

/** Ids are hashes, so the first in their order are drawn at random, and are the same ones a second later. */
function sample(volunteers: readonly Volunteer[]): Volunteer[] {
  return volunteers.toSorted((a, b) => (a.peer < b.peer ? -1 : 1)).slice(0, maxShownVolunteers)
}

function shownVolunteer(v: Volunteer, { trustOf, uptime }: OverviewState): ShownVolunteer {
  const { holding } = v
  return {
    peer: v.peer,
    state: stateOf(v),
    trust: trustOf(v.peer),
    onlineMs: Math.max(0, Math.round(uptime - v.since)),
    sessions: v.sessions,
    ...(holding && { revision: holding.revision, blocks: [holding.blocks.first, holding.blocks.end] }),
    ...(holding?.ready && {
      backend: holding.ready.backend,
      rowsPerSecond: holding.ready.msPerRow > 0 ? 1000 / holding.ready.msPerRow : 0,
    }),
  }
}

function stateOf(v: Volunteer): ShownVolunteer['state'] {
  if (v.awaySince !== undefined) return 'away'
  if (v.leaving) return 'leaving'
  if (v.paused) return 'paused'
  if (!v.holding) return 'waiting'
  return v.holding.ready ? 'serving' : 'loading'
}
