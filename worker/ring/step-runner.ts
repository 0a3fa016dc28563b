/**
 * Runs a session's steps as they come, one waiting its turn at a time: what the in-link holds is the queue. Rows that were
 * rolled back are run again; the output of a step that is not the session's any more is dropped.
 */
import { deferred, type Deferred } from '../../link/deferred.ts'
import type { HistoryStep, LinkHistory } from '../../link/history.ts'
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { SessionId } from '../../protocol/ids.ts'
import { unpackTensors } from '../../protocol/tensors.ts'
import type { StageEngine, StepOutput } from '../engine/engine.ts'
import { ServicePace } from './pace.ts'
import type { Scheduler } from './scheduler.ts'
import { allFinite } from './step-tensors.ts'

export interface RunnerPorts {
  readonly engine: StageEngine
  readonly scheduler: Scheduler
  /** First row of a step whose logits are wanted. */
  logitsFrom(step: HistoryStep): number
  ran(rows: number, ms: number): void
  emit(step: HistoryStep, output: StepOutput): void
  /** The engine can't. */
  failed(error: ManyhandsError): void
  /** What came can't be run: no engine could. */
  unusable(error: ManyhandsError): void
}

export class StepRunner {
  readonly #cacheKey: SessionId
  readonly #received: LinkHistory
  readonly #ports: RunnerPorts
  readonly #pace = new ServicePace()
  /** Rows run, as far as they are still those that were received. */
  #ran: number
  #queued = false
  /** Resolved when every row that came has been run. */
  #caughtUp: Deferred<void> | undefined
  #closed = false

  /** @param received the in-link; rows that are in it already have been run */
  constructor(cacheKey: SessionId, received: LinkHistory, ports: RunnerPorts) {
    this.#cacheKey = cacheKey
    this.#received = received
    this.#ran = received.end
    this.#ports = ports
  }

  pace(): { held: number; serviceMs: number } {
    return { held: this.#ran, serviceMs: this.#pace.serviceMs(performance.now()) }
  }

  /** A step came, new or in the place of others. */
  came(position: number): void {
    this.#ran = Math.min(this.#ran, position)
    this.#pace.arrived(position, performance.now())
    this.#work()
  }

  /** The in-link was cut back; and the step at `again` is to be run once more. */
  resume(again: number | undefined): void {
    this.#ran = Math.min(this.#ran, this.#received.end, again ?? Infinity)
    this.#pace.clear()
    this.#work()
  }

  /** Resolves when every row that came has been run. */
  all(): Promise<void> {
    this.#caughtUp?.resolve()
    this.#caughtUp = deferred<void>()
    this.#work()
    return this.#caughtUp.promise
  }

  /** Nothing more is run of what came so far. */
  drop(): void {
    this.#ports.scheduler.remove(this.#cacheKey)
    this.#queued = false
  }

  close(): void {
    this.#closed = true
    this.#ports.scheduler.remove(this.#cacheKey)
    this.#ports.engine.close(this.#cacheKey)
    this.#caughtUp?.resolve()
  }

  /** One step waits its turn, the next one when it has run: sessions take turns, and nothing is queued twice. */
  #work(): void {
    if (this.#ran >= this.#received.end) this.#caughtUp?.resolve()
    if (this.#closed || this.#queued || this.#ran >= this.#received.end) return
    this.#queued = true
    this.#ports.scheduler.enqueue(this.#cacheKey, async () => {
      try {
        return await this.#run()
      } catch (thrown) {
        this.#ports.failed(asError(thrown))
        return 0
      } finally {
        this.#queued = false
        this.#work()
      }
    })
  }

  async #run(): Promise<number> {
    const step = this.#received.at(this.#ran)
    if (this.#closed || !step) return 0
    const { engine } = this.#ports
    const { position, rows } = step
    const inputs = unpackTensors(step.payload, engine.inputSpecs)
    if (position < engine.held(this.#cacheKey)) engine.rollback(this.#cacheKey, position)
    const logitsFrom = this.#ports.logitsFrom(step)
    let output: StepOutput
    try {
      output = await engine.run({ session: this.#cacheKey, position, rows, inputs, logitsFrom })
    } catch (thrown) {
      if (allFinite(inputs)) throw thrown
      // What is no number is its sender's doing; another is to send these rows.
      this.#received.truncate(position)
      this.#ports.unusable(asError(thrown))
      return 0
    }
    this.#ports.ran(rows, output.runMs)
    if (this.#closed || this.#received.at(position) !== step || this.#ran !== position) return output.runMs
    this.#ran = position + rows
    this.#pace.served(position, performance.now())
    this.#ports.emit(step, output)
    return output.runMs
  }
}
