/**
 * Reading photos: a picture, through the models of the server that read, to lines of text.
 */
import type { ModelInfo } from '../../../sdk/types.ts'
import type { NetworkStore } from '../network-store.svelte.ts'
import type { CheckingStore } from './checking.svelte.ts'
import { drawExample, openPicture } from './picture.ts'
import { Reading } from './reading.svelte.ts'

/** What finds text, and what tells which way up it lies; a server without them reads pictures of single lines. */
const helpers = { find: 'pp-ocrv4-det', turn: 'pp-ocrv2-cls' } as const

export class ReadingStore {
  reading: Reading | undefined = $state.raw()
  readonly #network: NetworkStore
  readonly #checking: CheckingStore
  readonly busy: boolean = $derived(this.reading?.over === false)
  /** Those of the helpers that this server has. */
  readonly find: ModelInfo | undefined = $derived.by(() => this.#listed(helpers.find))
  readonly turn: ModelInfo | undefined = $derived.by(() => this.#listed(helpers.turn))

  constructor(network: NetworkStore, checking: CheckingStore) {
    this.#network = network
    this.#checking = checking
  }

  readFile(revision: string, file: Blob): Promise<void> {
    return this.#read(revision, () => openPicture(file))
  }

  readExample(revision: string): Promise<void> {
    return this.#read(revision, async () => drawExample(this.find !== undefined))
  }

  async again(revision: string): Promise<void> {
    const picture = this.reading?.picture
    if (picture) await this.#read(revision, async () => picture)
  }

  stop(): void {
    this.reading?.stop()
  }

  #listed(name: string): ModelInfo | undefined {
    return this.#network.models?.find((model) => model.name === name)
  }

  async #read(revision: string, open: () => Promise<ImageData>): Promise<void> {
    if (this.busy) return
    const { choice } = this.#checking
    const reading = new Reading(choice)
    this.reading = reading
    try {
      const picture = await open()
      reading.picture = picture
      const [network, { readPhoto }] = await Promise.all([this.#network.network(), import('../../../sdk/ocr/photo.ts')])
      reading.read(
        await readPhoto(network, picture, {
          models: { find: this.find?.revision ?? null, turn: this.turn?.revision ?? null, read: revision },
          verify: choice.verify,
          signal: reading.signal,
          onProgress: reading.took.bind(reading),
          onCorrection: reading.correct.bind(reading),
        }),
      )
    } catch (thrown) {
      reading.fail(thrown)
    }
  }
}
