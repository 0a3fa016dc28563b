/**
 * A photo to text, over volunteers: one model finds where text is, one tells which way up it lies, one reads it, line by line, each
 * spread by `net.map`. What audits find wrong later is done again from there on.
 */
import { Tensor } from 'onnxruntime-common'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Network, RunResult } from '../types.ts'
import { batchesOf, chunksOf } from './batches.ts'
import { cutOut, halfTurned, quarterTurned } from './cut-out.ts'
import { directionFeed, readDirections } from './direction.ts'
import { findText } from './find-text.ts'
import { linesFeed, lineWidth, parseCharacters, readLines, type LineReading } from './line.ts'
import { checkPixels, photoFeed } from './photo-feed.ts'
import type { PhotoLine, PhotoOptions, PhotoProgress, PhotoReading, PhotoRun, PhotoText } from './photo-types.ts'
import { readingOrder } from './reading-order.ts'
import type { Point, Quad } from './rectangle.ts'
import type { Pixels } from './resample.ts'

const catalogue = { find: 'pp-ocrv4-det', turn: 'pp-ocrv2-cls', read: 'pp-ocrv4-rec' } as const
/** The one input of each of them. */
const input = 'x'
const usualSide = 960
const leastSide = 32
/** A volunteer's longest run stays at some seconds. */
const mostSide = 2048
const usualScore = 0.5
/** A piece this much higher than wide is a line that runs up or down. */
const standing = 1.5

type Outputs = RunResult['outputs']
interface Feed {
  readonly data: Float32Array
  readonly dims: readonly number[]
}

/** A piece of the photo that holds a line. */
interface Piece {
  readonly box: Quad
  /** Running across, maybe upside down. */
  readonly picture: Pixels
  upsideDown: boolean
  reading: LineReading | undefined
  /** How often its reading was asked for: what comes of an earlier asking counts no more. */
  asked: number
}

/**
 * @param photo RGBA bytes, as a canvas's ImageData has them; 48 megapixels at most
 * @throws ManyhandsError bad-input, unknown-model, no-volunteers, disputed, aborted …
 */
export async function readPhoto(net: Pick<Network, 'map' | 'file'>, photo: Pixels, options: PhotoOptions = {}): Promise<PhotoReading> {
  checkPixels(photo)
  const { side = usualSide, leastScore = usualScore } = options
  if (!(side >= leastSide && side <= mostSide)) throw new ManyhandsError('bad-input', `side takes ${leastSide} to ${mostSide} pixels.`)
  if (!(leastScore >= 0 && leastScore <= 1)) throw new ManyhandsError('bad-input', 'leastScore takes 0 to 1.')
  const reader = new PhotoReader(net, photo, options)
  return reader.read()
}

class PhotoReader {
  readonly #net: Pick<Network, 'map' | 'file'>
  readonly #photo: Pixels
  readonly #options: PhotoOptions
  readonly #models: { readonly find: string | null; readonly turn: string | null; readonly read: string }
  readonly #runs: PhotoRun[] = []
  #characters: readonly string[] = []
  #pieces: readonly Piece[] = []
  /** Nothing is corrected before there is something. */
  #mended: Promise<void>
  #begin!: () => void

  constructor(net: Pick<Network, 'map' | 'file'>, photo: Pixels, options: PhotoOptions) {
    this.#net = net
    this.#photo = photo
    this.#options = options
    this.#models = { ...catalogue, ...options.models }
    this.#mended = new Promise((resolve) => (this.#begin = resolve))
  }

  async read(): Promise<PhotoReading> {
    this.#characters = parseCharacters(await this.#net.file(this.#models.read, 'characters'))
    await this.#find()
    await this.#turn()
    await this.#read(this.#pieces)
    const text = this.#text()
    this.#begin()
    const settled = this.#settled()
    settled.catch(() => undefined)
    return { ...text, runs: [...this.#runs], settled }
  }

  // ---- The three steps ---------------------------------------------------------------------------------------------

  async #find(): Promise<void> {
    const { find } = this.#models
    const { side = usualSide } = this.#options
    if (find === null) return this.#setPieces([wholeOf(this.#photo)])
    const take = (outputs: Outputs) => this.#setPieces(this.#boxes(outputs))
    await this.#map('finding', find, [this.#photo], (photo) => photoFeed(photo, side), {
      take: (_, outputs) => take(outputs),
      correct: async (_, outputs) => {
        take(outputs)
        await this.#turn()
        await this.#read(this.#pieces)
      },
    })
  }

  async #turn(): Promise<void> {
    const { turn } = this.#models
    if (turn === null) return
    const pieces = this.#pieces
    const chunks = chunksOf(pieces.length).map((places) => places.map((place) => pieces[place] as Piece))
    const take = (chunk: readonly Piece[], outputs: Outputs) => {
      const { data, dims } = numbers(outputs)
      const turned = readDirections(data, dims)
      const changed = chunk.filter((piece, i) => piece.upsideDown !== turned[i])
      for (const piece of changed) piece.upsideDown = !piece.upsideDown
      return changed
    }
    await this.#map('turning', turn, chunks, (chunk) => directionFeed(chunk.map(({ picture }) => picture)), {
      take,
      correct: async (chunk, outputs) => this.#read(take(chunk, outputs).filter((piece) => this.#pieces.includes(piece))),
    })
  }

  async #read(pieces: readonly Piece[]): Promise<void> {
    for (const piece of pieces) piece.asked += 1
    const widths = pieces.map(({ picture }) => lineWidth(picture))
    const batches = batchesOf(widths).map((places) =>
      places.map((place) => {
        const piece = pieces[place] as Piece
        return { piece, asking: piece.asked }
      }),
    )
    const take = (batch: (typeof batches)[number], outputs: Outputs) => {
      const { data, dims } = numbers(outputs)
      const readings = readLines(data, dims, this.#characters)
      for (const [i, { piece, asking }] of batch.entries()) if (piece.asked === asking) piece.reading = readings[i]
    }
    const feed = (batch: (typeof batches)[number]) =>
      linesFeed(batch.map(({ piece: { picture, upsideDown } }) => (upsideDown ? halfTurned(picture) : picture)))
    await this.#map('reading', this.#models.read, batches, feed, { take, correct: async (batch, outputs) => take(batch, outputs) })
  }

  /** Runs of one model, one for each of the inputs. */
  async #map<I>(
    phase: PhotoProgress['phase'],
    model: string,
    inputs: readonly I[],
    feed: (input: I) => Feed,
    results: { take(input: I, outputs: Outputs): unknown; correct(input: I, outputs: Outputs): Promise<void> },
  ): Promise<void> {
    const { signal, verify, onProgress } = this.#options
    const mapping = this.#net.map(model, inputs, {
      feeds: (one) => {
        const { data, dims } = feed(one)
        return { [input]: new Tensor('float32', data, [...dims]) }
      },
      onProgress: ({ done }) => onProgress?.({ phase, done, of: inputs.length }),
      onCorrection: ({ index, outputs, reason }) => this.#correct(reason, () => results.correct(inputs[index] as I, outputs)),
      ...(signal ? { signal } : {}),
      ...(verify === undefined ? {} : { verify }),
    })
    for await (const { input, result } of mapping) {
      this.#runs.push({ ...result, phase })
      results.take(input, result.outputs)
    }
  }

  // ---- Corrections -------------------------------------------------------------------------------------------------

  /** One after the other, and none before there is a reading. */
  #correct(reason: string, mend: () => Promise<void>): void {
    this.#mended = this.#mended.then(async () => {
      const before = JSON.stringify(this.#text())
      await mend()
      const text = this.#text()
      if (JSON.stringify(text) !== before) this.#options.onCorrection?.({ ...text, reason })
    })
    // Whoever asks for the settled reading hears it.
    this.#mended.catch(() => undefined)
  }

  /** Corrections bring runs of their own, which are to settle too. */
  async #settled(): Promise<PhotoText> {
    for (let heard = 0; heard < this.#runs.length;) {
      const some = this.#runs.slice(heard)
      heard += some.length
      await Promise.all(some.map((run) => run.settled))
      await this.#mended
    }
    return this.#text()
  }

  // ------------------------------------------------------------------------------------------------------------------

  /** Boxes in the photo's pixels. @throws ManyhandsError bad-model */
  #boxes(outputs: Outputs): Quad[] {
    const { data, dims } = numbers(outputs)
    const [width = 0, height = 0] = [dims[3], dims[2]]
    if (dims.length !== 4 || data.length !== width * height)
      throw new ManyhandsError('bad-model', `The model that finds text gave [${dims.join(', ')}]; it should be [1, 1, height, width].`)
    const [across, down] = [this.#photo.width / width, this.#photo.height / height]
    return findText({ width, height, values: data }).map(
      ({ box }) => box.map(({ x, y }): Point => ({ x: x * across, y: y * down })) as unknown as Quad,
    )
  }

  #setPieces(boxes: readonly Quad[]): void {
    this.#pieces = boxes.map((box): Piece => {
      const picture = cutOut(this.#photo, box)
      const rest = { upsideDown: false, reading: undefined, asked: 0 }
      if (picture.height < standing * picture.width) return { box, picture, ...rest }
      return { box: begunAt(box, 1), picture: quarterTurned(picture), ...rest }
    })
  }

  #text(): PhotoText {
    const { leastScore = usualScore } = this.#options
    const lines = this.#pieces.flatMap(({ box, upsideDown, reading }): PhotoLine[] => {
      if (!reading || reading.text === '' || reading.confidence < leastScore) return []
      return [{ box: upsideDown ? begunAt(box, 2) : box, text: reading.text, score: reading.confidence }]
    })
    const rows = readingOrder(lines, ({ box }) => box)
    return { lines: rows.flat(), text: rows.map((row) => row.map(({ text }) => text).join(' ')).join('\n') }
  }
}

const wholeOf = ({ width, height }: Pixels): Quad => [
  { x: 0, y: 0 },
  { x: width, y: 0 },
  { x: width, y: height },
  { x: 0, y: height },
]

/** The same corners, from a later one on. */
const begunAt = (box: Quad, corner: number): Quad => [...box.slice(corner), ...box.slice(0, corner)] as unknown as Quad

/** @throws ManyhandsError bad-model when the model's one result is no f32 */
function numbers(outputs: Outputs): Feed {
  const [output] = Object.values(outputs)
  if (!(output?.data instanceof Float32Array)) throw new ManyhandsError('bad-model', 'The model gave no numbers to read from.')
  return { data: output.data, dims: output.dims }
}
