/** What a volunteer did with a stage since it last told the server. */
import type { WorkStats } from '../../protocol/client-messages.ts'

const nothing: WorkStats = { steps: 0, rows: 0, busyMs: 0, sentBytes: 0, receivedBytes: 0 }

export class WorkReport {
  #told = nothing

  /** The work beyond what was told; `total` counts from the stage's beginning. */
  since(total: WorkStats): WorkStats {
    const beyond = (key: keyof WorkStats) => Math.max(0, total[key] - this.#told[key])
    return {
      steps: beyond('steps'),
      rows: beyond('rows'),
      busyMs: beyond('busyMs'),
      sentBytes: beyond('sentBytes'),
      receivedBytes: beyond('receivedBytes'),
    }
  }

  told({ steps, rows, busyMs, sentBytes, receivedBytes }: WorkStats): void {
    this.#told = { steps, rows, busyMs, sentBytes, receivedBytes }
  }
}
