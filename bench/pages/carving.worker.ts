/** What a volunteer's worker does with a graph before it can compute, in a fresh worker: parse, find the cuts, carve a stage, write it. */
import * as Comlink from 'comlink'
import { carve } from '../../models/carve.ts'
import { findCuts } from '../../models/cuts.ts'
import { normalForm } from '../../models/graph-normal.ts'
import { readModel } from '../../models/onnx/read.ts'
import { writeModel } from '../../models/onnx/write.ts'
import { splitStages } from '../../models/split.ts'
import type { Manifest } from '../../protocol/manifest.ts'

export interface CarvingTimes {
  readonly parseMs: number
  readonly cutsMs: number
  readonly carveMs: number
}

const carving = {
  async times(base: string): Promise<CarvingTimes> {
    const manifest = (await (await fetch(`${base}material/manifest.json`)).json()) as Manifest
    const bytes = new Uint8Array(await (await fetch(`${base}blobs/${manifest.graph.hash}`)).arrayBuffer())
    const middle = splitStages(manifest.blocks, 3)[1]
    if (!middle) throw new Error('no middle stage')
    const start = performance.now()
    const model = normalForm(readModel(bytes))
    const parsed = performance.now()
    findCuts(model.graph, manifest)
    const found = performance.now()
    writeModel(carve(model, manifest, middle).model)
    return { parseMs: parsed - start, cutsMs: found - parsed, carveMs: performance.now() - found }
  },
}
export type Carving = typeof carving

Comlink.expose(carving)
