/**
 * Golden activations: what crosses every cut, and what comes out, for a fixed input. A volunteer must come close to them before
 * it serves. The model runs in segments of neighbouring blocks, so that one larger than memory can be imported.
 */
import type { Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import type { BlobRef, BlockRange, Decoder, Golden, InputSpec } from '../protocol/manifest.ts'
import { packTensors, type TensorValue } from '../protocol/tensors.ts'
import { Carver, type Layout } from './carve.ts'
import { openSession, type GoldenSession } from './golden-engine.ts'
import { goldenFeeds, goldenRuns, goldenSizes, goldenTokens, type GoldenFill } from './golden-feeds.ts'
import { untyped } from './golden-shapes.ts'
import { lower } from './lower.ts'
import { lowerAttention } from './lower-attention.ts'
import type { Model } from './onnx/model.ts'
import { writeModel } from './onnx/write.ts'

export interface GoldenJob {
  readonly model: Model
  readonly layout: Layout
  readonly blocks: readonly { readonly residentBytes: number }[]
  readonly decoder?: Decoder | undefined
  /** Sizes for symbolic dimensions of the inputs, by name. */
  readonly dims: Readonly<Record<string, number>>
  /** What the inputs of a model without a decoder are filled with. */
  readonly fill: GoldenFill
  /** The bytes of a shard by its location in the graph. */
  readonly loadShard: (location: string) => Promise<Bytes>
  readonly put: (bytes: Uint8Array) => Promise<BlobRef>
  readonly onSegment: (done: number, total: number) => void
  readonly signal?: AbortSignal | undefined
}

/** Weights of one segment, as f32: they are in memory twice while the engine takes them, so that an import stays under 1 GB. */
const segmentBytes = 256 * 1024 * 1024

/** A tensor's value in each run. */
type Track = readonly TensorValue[]

/** @throws ManyhandsError engine-failed, not-finite, aborted */
export async function makeGoldens(job: GoldenJob): Promise<Golden> {
  const { layout, decoder } = job
  const runs = decoder ? [...goldenRuns] : [1]
  const known = new Map<string, Track>(decoder ? decoderFeeds(layout.inputs, decoder, runs) : plainFeeds(layout.inputs, job.dims, job.fill))
  const carver = new Carver(job.model, layout)
  const fed = layout.inputs.filter((input) => input.role === 'feed' || input.role === 'tokens').map((input) => input.name)
  const inputs = await job.put(packTensors(fed.map((name) => joined(known.get(name)))))

  const ranges = segments(job.blocks)
  for (const [done, range] of ranges.entries()) {
    if (job.signal?.aborted) throw new ManyhandsError('aborted', 'Stopped.')
    job.onSegment(done, ranges.length)
    await runSegment(job, carver, range, runs.length, known)
  }
  const cuts: BlobRef[] = []
  for (const cut of layout.cuts) cuts.push(await job.put(packTensors(cut.tensors.map(({ name }) => joined(known.get(name))))))
  const results = layout.outputs.filter((output) => output.role !== 'present').map((output) => known.get(output.name))
  if (!decoder) return { runs, inputs, cuts, outputs: await job.put(packTensors(results.map(joined))), outputRows: [] }
  // Of the prefill its last row, then each single row: those that choose a token.
  const prefill = runs[0] as number
  const outputRows = runs.map((_, i) => prefill - 1 + i)
  return { runs, inputs, cuts, outputs: await job.put(packTensors([lastRows(results[0])])), outputRows }
}

/** Neighbouring blocks whose weights fit in memory together; a block too large for that is one alone. */
function segments(blocks: GoldenJob['blocks']): BlockRange[] {
  const ranges: { first: number; end: number }[] = []
  let bytes = 0
  for (const [block, { residentBytes }] of blocks.entries()) {
    const last = ranges.at(-1)
    bytes += residentBytes
    if (last && bytes <= segmentBytes) last.end = block + 1
    else {
      ranges.push({ first: block, end: block + 1 })
      bytes = residentBytes
    }
  }
  return ranges
}

/** Runs one segment and adds to `known` what it makes: the cuts inside and after it, or the results. */
async function runSegment(job: GoldenJob, carver: Carver, range: BlockRange, runs: number, known: Map<string, Track>): Promise<void> {
  const stage = carver.stage(range)
  const inside = job.layout.cuts.slice(range.first, range.end - 1).flatMap((cut) => cut.tensors.map((t) => t.name))
  const outputs = new Set([...stage.outputs, ...inside.filter((name) => !stage.inputs.includes(name))])
  const { graph } = stage.model
  const described = new Map(graph.outputs.map((info) => [info.name, info]))
  const model = { ...stage.model, graph: { ...graph, outputs: [...outputs].map((name) => described.get(name) ?? untyped(name)) } }

  const session = await openLowered(model, job)
  try {
    const pastOf = pastOfPresent(job.layout)
    const tracks = new Map<string, TensorValue[]>()
    let caches = new Map<string, TensorValue>()
    for (let run = 0; run < runs; run++) {
      const feeds = new Map(stage.inputs.map((name) => [name, caches.get(name) ?? (known.get(name)?.[run] as TensorValue)]))
      const made = await session.run(feeds)
      caches = new Map()
      for (const [name, value] of made) {
        const past = pastOf.get(name)
        if (past !== undefined) caches.set(past, value)
        else tracks.set(name, [...(tracks.get(name) ?? []), finite(name, value)])
      }
    }
    for (const [name, track] of tracks) known.set(name, track)
  } finally {
    await session.close()
  }
}

/** A present becomes the past of the next run: they are listed in the same order. */
function pastOfPresent({ inputs, outputs }: Layout): Map<string, string> {
  const pasts = inputs.filter((input) => input.role === 'past')
  const presents = outputs.filter((output) => output.role === 'present')
  return new Map(presents.map((present, i) => [present.name, pasts[i]?.name ?? '']))
}

/** As a volunteer's wasm runs it, so that both compute the same bits. */
async function openLowered(model: Model, job: GoldenJob): Promise<GoldenSession> {
  const lowered = lower(model, 'wasm')
  const shards = new Map<string, Bytes>()
  for (const location of locationsOf(model)) shards.set(location, await job.loadShard(location))
  const read = (location: string, offset: number, length: number) => (shards.get(location) as Bytes).subarray(offset, offset + length)
  const weights = new Map<string, Uint8Array>(lowered.weights.map((weight) => [weight.location, weight.make(read)]))
  for (const location of locationsOf(lowered.model)) if (!weights.has(location)) weights.set(location, shards.get(location) as Bytes)
  return openSession(writeModel(lowerAttention(lowered.model)), weights)
}

const locationsOf = ({ graph }: Model) =>
  new Set(graph.initializers.flatMap(({ data }) => (data.kind === 'external' ? [data.location] : [])))

function plainFeeds(inputs: readonly InputSpec[], dims: Readonly<Record<string, number>>, fill: GoldenFill): Map<string, Track> {
  return new Map([...goldenFeeds(inputs, goldenSizes(inputs, dims), fill)].map(([name, value]) => [name, [value]]))
}

function decoderFeeds(inputs: readonly InputSpec[], decoder: Decoder, runs: readonly number[]): Map<string, Track> {
  const tokens = goldenTokens(decoder.vocab)
  const starts = runs.map((_, i) => runs.slice(0, i).reduce((a, b) => a + b, 0))
  const cache: TensorValue = { dtype: 'float32', dims: [1, decoder.kvHeads, 0, decoder.headDim], bytes: new Uint8Array() }
  const track = ({ role }: InputSpec): Track =>
    runs.map((rows, i) => {
      const start = starts[i] as number
      if (role === 'tokens') return int64(tokens.slice(start, start + rows))
      if (role === 'positions') return int64(Array.from({ length: rows }, (_, row) => start + row))
      return role === 'mask' ? int64(Array.from({ length: start + rows }, () => 1)) : cache
    })
  return new Map(inputs.map((input) => [input.name, track(input)]))
}

const int64 = (values: readonly number[]): TensorValue => ({
  dtype: 'int64',
  dims: [1, values.length],
  bytes: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer),
})

/** All runs' rows along axis 1, where a decoder's rows lie; a single run as it is. */
function joined(track: Track | undefined): TensorValue {
  const [first, ...rest] = track ?? []
  if (!first) throw new ManyhandsError('internal', 'A golden tensor was not made.')
  if (rest.length === 0) return first
  const rows = (track as Track).reduce((sum, value) => sum + (value.dims[1] ?? 0), 0)
  return { ...first, dims: first.dims.map((dim, axis) => (axis === 1 ? rows : dim)), bytes: concatenated(track as Track) }
}

/** The last row of each run's logits: [runs, vocab]. */
function lastRows(track: Track | undefined): TensorValue {
  const rows = (track ?? []).map((value): TensorValue => {
    const width = value.dims[2] as number
    return { dtype: value.dtype, dims: [1, width], bytes: value.bytes.subarray(value.bytes.length - 4 * width) }
  })
  const [first] = rows
  if (!first) throw new ManyhandsError('internal', 'The golden logits were not made.')
  return { ...first, dims: [rows.length, first.dims[1] as number], bytes: concatenated(rows) }
}

function concatenated(values: readonly TensorValue[]): Uint8Array {
  const bytes = new Uint8Array(values.reduce((sum, value) => sum + value.bytes.length, 0))
  let at = 0
  for (const value of values) {
    bytes.set(value.bytes, at)
    at += value.bytes.length
  }
  return bytes
}

function finite(name: string, value: TensorValue): TensorValue {
  if (value.dtype !== 'float32') return value
  const numbers = new Float32Array(value.bytes.buffer, value.bytes.byteOffset, value.bytes.length / 4)
  if (!numbers.every(Number.isFinite))
    throw new ManyhandsError('not-finite', `The model computes infinities or NaN (at ${name}): its weights are damaged.`)
  return value
}
