/**
 * Reading a picture of a line of text: picture to feed, through the volunteers, answer to text.
 */
import type { LineReading } from '../../../sdk/ocr/line.ts'
import { ManyhandsError } from '../../../protocol/errors.ts'
import type { NetworkStore } from '../network-store.svelte.ts'
import { Asked } from './asked.svelte.ts'
import { drawExample, openPicture } from './picture.ts'

export class Reading extends Asked {
  picture: ImageData | undefined = $state.raw()
  result: LineReading | undefined = $state.raw()
}

export class ReadingStore {
  reading: Reading | undefined = $state.raw()
  readonly #network: NetworkStore
  readonly busy: boolean = $derived(this.reading?.over === false)

  constructor(network: NetworkStore) {
    this.#network = network
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
    const reading = new Reading()
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
      const onProgress = reading.progress.bind(reading)
      const { outputs, stages, receipt } = await network.run(revision, feeds, { signal: reading.signal, onProgress })
      const [output] = Object.values(outputs)
      if (!(output?.data instanceof Float32Array)) throw new ManyhandsError('bad-model', 'The model gave no probabilities to read from.')
      reading.result = readLine(output.data, output.dims, characters)
      reading.done(stages, receipt)
    } catch (thrown) {
      reading.fail(thrown)
    }
  }
}
