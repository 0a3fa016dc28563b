/**
 * Where a graph can be cut, found by analysis alone: at each point of the topological order, the tensors that are alive
 * there, less what every stage can make for itself. Few bytes and an even spread of compute choose among the points.
 */
import { ManyhandsError } from '../protocol/errors.ts'
import { maxTensorsAtCut } from '../protocol/limits.ts'
import type { Shapes } from './graph-cost.ts'
import { indexGraph, type GraphIndex } from './graph-index.ts'
import { liveness, type Liveness, type Point } from './graph-liveness.ts'
import type { Ports } from './graph-ports.ts'
import { recomputable } from './graph-recompute.ts'
import { planOf, stageNodes } from './graph-stage.ts'
import { StandIns } from './graph-stand-ins.ts'
import type { Graph } from './onnx/model.ts'

export interface CutPoint {
  /** The tensors that cross, in the order in which they are made: fed inputs first. */
  readonly tensors: readonly string[]
  /** Bytes that cross, by the shapes seen; one row's worth where a dimension is symbolic. */
  readonly bytes: number
  /** Multiply-accumulates before this point. */
  readonly costBefore: number
}

export interface CutOptions {
  /** Types and shapes from an instrumented run; without them the graph's own value infos serve. */
  readonly shapes?: Shapes
  /** Cuts to find at most. */
  readonly most?: number
}

/** More than enough for 8 stages of any balance; each costs a golden activation. */
export const mostCuts = 96
/** A point twice as wide as another must better the balance by this part of the whole cost to be kept beside it; … */
const balanceForTwice = 1 / 20
/** … and by this part at most, however much wider it is: the share of one of eight stages. */
const furthest = 1 / 8
/** The cost is divided into this many parts, each with one point at most: closer ones would set nearly nothing apart. */
const finest = 512
/** Weights before the first product (an embedding) or after the last that are worth a cut of their own: part of all. */
const worthAnEnd = 1 / 50

/**
 * @param graph in normal form
 * @returns points from the input to the output, none where nothing can be cut
 * @throws ManyhandsError bad-model
 */
export function findCuts(graph: Graph, ports: Ports, options: CutOptions = {}): CutPoint[] {
  const index = indexGraph(graph)
  const standIns = new StandIns(index, ports)
  const found = cutsOf(index, ports, recomputable(index, ports, standIns), options)
  if (hold(index, ports, found)) return found
  // Some stage would lack a stand-in for a shape that it needs: then shapes cross like anything else.
  return cutsOf(index, ports, recomputable(index, ports), options)
}

/** Whether every block can be carved. */
function hold(index: GraphIndex, ports: Ports, points: readonly CutPoint[]): boolean {
  try {
    const plan = planOf(
      index,
      ports,
      points.map((p) => p.tensors),
    )
    const presents = [...plan.blocks.presents]
    for (let k = 0; k < plan.blocks.count; k++) {
      const outputs = points[k]?.tensors ?? plan.blocks.results
      stageNodes(plan, { first: k, end: k + 1 }, [...outputs, ...presents.filter(([, block]) => block === k).map(([name]) => name)])
    }
    return true
  } catch (thrown) {
    if (thrown instanceof ManyhandsError) return false
    throw thrown
  }
}

function cutsOf(index: GraphIndex, ports: Ports, everywhere: Uint8Array, options: CutOptions): CutPoint[] {
  const live = liveness(index, ports, everywhere, options.shapes ?? new Map())
  const points = live.points.filter((p) => p.tensors <= maxTensorsAtCut && p.computed > 0)
  const worthy = spread(worthwhile(oneForEachCost(points), live), live.totalCost, finest)
  const narrow = narrowest(worthy, live.totalCost)
  const most = options.most ?? mostCuts
  const chosen = narrow.length > most ? spread(narrow, live.totalCost, most) : narrow
  return chosen.map(({ at, bytes, costBefore }) => ({ tensors: live.tensorsAt(at), bytes, costBefore }))
}

const narrower = (a: Point, b: Point) => a.bytes < b.bytes || (a.bytes === b.bytes && a.tensors < b.tensors)

/**
 * Points with no product between them balance alike: the narrowest stays. Of equal ones the last does, so that a
 * convolution stays together with the bias, norm and activation that a runtime fuses into it.
 */
function oneForEachCost(points: readonly Point[]): Point[] {
  const best: Point[] = []
  for (const point of points) {
    const last = best.at(-1)
    if (!last || last.costBefore !== point.costBefore) best.push(point)
    else if (!narrower(last, point)) best[best.length - 1] = point
  }
  return best
}

/** Without cuts that set nearly nothing apart. */
function worthwhile(points: readonly Point[], { totalCost, totalWeights }: Liveness): Point[] {
  const least = worthAnEnd * totalWeights
  return points.filter((p) => {
    const before = p.costBefore > 0 || p.weightsBefore >= least
    const after = p.costBefore < totalCost || totalWeights - p.weightsBefore >= least
    return before && after
  })
}

/** Points for which no narrower one nearby would do as well. */
function narrowest(points: readonly Point[], totalCost: number): Point[] {
  return points.filter((point) =>
    points.every((other) => {
      const worth = Math.min(furthest, (point.bytes / other.bytes - 1) * balanceForTwice)
      return other.bytes >= point.bytes || Math.abs(other.costBefore - point.costBefore) > worth * totalCost
    }),
  )
}

/** At most `most` points: the narrowest in each of as many equal parts of the cost. */
function spread(points: readonly Point[], totalCost: number, most: number): Point[] {
  const best = new Map<number, Point>()
  for (const point of points) {
    const part = Math.min(most - 1, Math.floor((point.costBefore / (totalCost || 1)) * most))
    const known = best.get(part)
    if (!known || narrower(point, known)) best.set(part, point)
  }
  return [...best.values()]
}
