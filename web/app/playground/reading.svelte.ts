/** One photo as it is read: how far that is, what it says, and how sure that is by the receipts of all the runs it took. */
import type { PhotoCorrection, PhotoLine, PhotoProgress, PhotoReading, PhotoRun, PhotoText } from '../../../sdk/ocr/photo-types.ts'
import type { Receipt } from '../../../sdk/types.ts'
import { Asked } from './asked.svelte.ts'

/** A run, and what the server last said of it. */
export interface ReadingRun {
  readonly run: PhotoRun
  readonly receipt: Receipt | undefined
}

export class Reading extends Asked {
  picture: ImageData | undefined = $state.raw()
  step: PhotoProgress | undefined = $state.raw()
  lines: readonly PhotoLine[] = $state.raw([])
  text = $state('')
  /** The text before a correction. */
  was = $state('')
  runs: readonly ReadingRun[] = $state.raw([])

  took(progress: PhotoProgress): void {
    if (!this.over) this.step = progress
  }

  read({ runs, ...text }: PhotoReading): void {
    this.#show(text)
    this.runs = runs.map((run) => ({ run, receipt: undefined }))
    this.ended(runs.flatMap((run) => run.stages))
    void Promise.all(runs.map((run, i) => this.#hear(run, i)))
  }

  correct({ reason, ...text }: PhotoCorrection): void {
    this.was = this.text
    this.#show(text)
    this.replaced(reason)
  }

  #show({ lines, text }: PhotoText): void {
    this.lines = lines
    this.text = text
  }

  async #hear(run: PhotoRun, at: number): Promise<void> {
    try {
      this.#told(at, await run.receipt)
      this.#told(at, await run.settled)
    } catch {
      this.unheard = true
    }
  }

  #told(at: number, receipt: Receipt): void {
    this.runs = this.runs.map((entry, i) => (i === at ? { ...entry, receipt } : entry))
    const receipts = this.runs.flatMap((entry) => entry.receipt ?? [])
    if (receipts.length === this.runs.length) this.receipt = summed(receipts)
  }
}

/** For the words on how sure it all is: settled once every run is. */
function summed(receipts: readonly Receipt[]): Receipt {
  const total = (of: (receipt: Receipt) => number) => receipts.reduce((sum, receipt) => sum + of(receipt), 0)
  return {
    ...(receipts[0] as Receipt),
    status: receipts.some(({ status }) => status === 'provisional') ? 'provisional' : 'settled',
    custody: { checked: total(({ custody }) => custody.checked), failed: total(({ custody }) => custody.failed) },
    audits: { done: total(({ audits }) => audits.done), of: total(({ audits }) => audits.of) },
  }
}
