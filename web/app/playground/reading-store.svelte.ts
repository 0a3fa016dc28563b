/**
 * Reading a picture of a line of text: picture to feed, through the volunteers, answer to text.
 */
import type { LineReading } from '../../../sdk/ocr/line.ts'
import type { RunCorrection } from '../../../sdk/types.ts'
import { ManyhandsError } from '../../../protocol/errors.ts'
import type { NetworkStore } from '../network-store.svelte.ts'
import { Asked } from './asked.svelte.ts'
import type { CheckingStore } from './checking.svelte.ts'
import { drawExample, openPicture } from './picture.ts'

export class Reading extends Asked {
  picture: ImageData | undefined = $state.raw()
  result: LineReading | undefined = $state.raw()
  /** The text before a correction. */
  was = $state('')
}

export class ReadingStore {
  reading: Reading | undefined = $state.raw()
  readonly #network: NetworkStore
  readonly #checking: CheckingStore
  readonly busy: boolean = $derived(this.reading?.over === false)

  constructor(network: NetworkStore, checking: CheckingStore) {
    this.#network = network
    this.#checking = checking
  }

  readFile(revision: string, file: Blob): Promise<void> {
    return this.#read(revision, () => openPicture(file))
  }

  readExample(revision: string): Promise<void> {
    return this.#read(revision, async () => drawExample())
  }

  async again(revision: string): Promise<void> {
    const picture = this.reading?.picture
    if (picture) await this.#read(revision, async () => picture)
  }

  stop(): void {
    this.reading?.stop()
  }

  async #read(revision: string, open: () => Promise<ImageData>): Promise<void> {
    if (this.busy) return
    const { choice } = this.#checking
    const reading = new Reading(choice)
    this.reading = reading
    try {
      const picture = await open()
      reading.picture = picture
      const [network, { lineFeed, parseCharacters, readLine }, { Tensor }] = await Promise.all([
        this.#network.network(),
        import('../../../sdk/ocr/line.ts'),
        import('onnxruntime-common'),
      ])
      const characters = parseCharacters(await network.file(revision, 'characters'))
      const { data, dims } = lineFeed(picture)
      const feeds = { x: new Tensor('float32', data, dims) }
      const read = (outputs: RunCorrection['outputs']) => {
        const [output] = Object.values(outputs)
        if (!(output?.data instanceof Float32Array)) throw new ManyhandsError('bad-model', 'The model gave no probabilities to read from.')
        return readLine(output.data, output.dims, characters)
      }
      const result = await network.run(revision, feeds, {
        verify: choice.verify,
        signal: reading.signal,
        onProgress: reading.progress.bind(reading),
        onCorrection: ({ outputs, reason }) => {
          reading.was = reading.result?.text ?? ''
          reading.result = read(outputs)
          reading.replaced(reason)
        },
      })
      reading.result = read(result.outputs)
      reading.done(result.stages, result)
    } catch (thrown) {
      reading.fail(thrown)
    }
  }
}
