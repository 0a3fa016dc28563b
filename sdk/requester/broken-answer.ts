/** An answer that broke off after it had begun: why, and what had come. */
import { ManyhandsError } from '../../protocol/errors.ts'

export interface PartialAnswer {
  readonly text: string
  readonly tokenIds: readonly number[]
}

export class BrokenAnswer extends ManyhandsError {
  /** What had come, unchecked: no last stage has signed for it. */
  readonly partial: PartialAnswer

  constructor(error: ManyhandsError, partial: PartialAnswer) {
    super(error.code, error.message, {
      cause: error,
      ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    })
    this.partial = partial
  }
}
