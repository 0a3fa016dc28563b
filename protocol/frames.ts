/**
 * What travels on a link between two peers: one byte says what it is, the rest follows. Steps are binary and may come in
 * fragments; everything small is JSON. Little-endian throughout; a receiver never trusts a length.
 */
import { fromHex, toHex, type Bytes } from './bytes.ts'
import { ManyhandsError } from './errors.ts'
import type { SessionId } from './ids.ts'
import { fragmentBytes, maxMessageBytes } from './limits.ts'

export const frameKind = { auth: 1, control: 2, step: 3, custody: 4 } as const
export type FrameKind = (typeof frameKind)[keyof typeof frameKind]

/** One step on one link: `rows` rows from `position` on. */
export interface StepHeader {
  readonly session: SessionId
  readonly link: number
  /** Raised by every reroute; lower ones are dropped. */
  readonly generation: number
  /** 0, 1, 2 … on this link and generation; one seen before is dropped. */
  readonly seq: number
  readonly position: number
  readonly rows: number
  /** Rows at positions below this only fill the cache: nothing is forwarded or sampled for them. */
  readonly emitFrom: number
  /** Microseconds of model runs so far on this step's way round the ring (telemetry). */
  readonly computeMicros: number
}

export interface Step extends StepHeader {
  /** `packTensors` of the link's tensors. */
  readonly payload: Uint8Array
}

/** kind 1, link 1, rows 2, session 16, generation 4, seq 4, position 4, emitFrom 4, micros 4, total 4, offset 4. */
export const stepHeaderBytes = 48
const fragmentPayloadBytes = fragmentBytes - stepHeaderBytes

/** The messages that carry a step: one, or as many fragments as it takes. */
export function encodeStep(step: Step): Bytes[] {
  const { payload } = step
  if (payload.length > maxMessageBytes) {
    throw new ManyhandsError('bad-message', `A step of ${payload.length} bytes is over the limit of ${maxMessageBytes}.`)
  }
  const messages: Bytes[] = []
  for (let offset = 0; offset === 0 || offset < payload.length; offset += fragmentPayloadBytes) {
    const part = payload.subarray(offset, offset + fragmentPayloadBytes)
    const out = new Uint8Array(stepHeaderBytes + part.length)
    const view = new DataView(out.buffer)
    view.setUint8(0, frameKind.step)
    view.setUint8(1, step.link)
    view.setUint16(2, step.rows, true)
    out.set(fromHex(step.session), 4)
    view.setUint32(20, step.generation, true)
    view.setUint32(24, step.seq, true)
    view.setUint32(28, step.position, true)
    view.setUint32(32, step.emitFrom, true)
    view.setUint32(36, step.computeMicros, true)
    view.setUint32(40, payload.length, true)
    view.setUint32(44, offset, true)
    out.set(part, stepHeaderBytes)
    messages.push(out)
  }
  return messages
}

export interface StepFragment {
  readonly header: StepHeader
  readonly total: number
  readonly offset: number
  /** A view into the message. */
  readonly part: Uint8Array
}

/** @throws ManyhandsError bad-message */
export function decodeStepFragment(message: Uint8Array): StepFragment {
  if (message.length < stepHeaderBytes || message[0] !== frameKind.step) throw bad('it is too short')
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const total = view.getUint32(40, true)
  const offset = view.getUint32(44, true)
  const part = message.subarray(stepHeaderBytes)
  const rows = view.getUint16(2, true)
  if (rows < 1) throw bad('it carries no rows')
  if (total > maxMessageBytes) throw bad(`it announces ${total} bytes`)
  if (offset + part.length > total) throw bad('a fragment ends past its step')
  if (part.length === 0 && total !== 0) throw bad('a fragment is empty')
  if (part.length > fragmentPayloadBytes) throw bad('a fragment is too large')
  const header: StepHeader = {
    link: view.getUint8(1),
    rows,
    session: toHex(message.subarray(4, 20)) as SessionId,
    generation: view.getUint32(20, true),
    seq: view.getUint32(24, true),
    position: view.getUint32(28, true),
    emitFrom: view.getUint32(32, true),
    computeMicros: view.getUint32(36, true),
  }
  return { header, total, offset, part }
}

/**
 * Puts fragments together. Channels are ordered, so a step's fragments come one after the other on their (session, link);
 * anything else is refused. At most `limitBytes` are held over all sessions of a channel.
 */
export class StepAssembler {
  readonly #limitBytes: number
  readonly #open = new Map<string, { header: StepHeader; buffer: Bytes; filled: number }>()
  #held = 0

  constructor(limitBytes: number = maxMessageBytes) {
    this.#limitBytes = limitBytes
  }

  /** The step, once its last fragment is in. @throws ManyhandsError bad-message */
  add(message: Uint8Array): Step | undefined {
    const { header, total, offset, part } = decodeStepFragment(message)
    if (offset === 0 && part.length === total) return { ...header, payload: part.slice() }
    const key = `${header.session}/${header.link}`
    const open = this.#open.get(key)
    if (offset === 0) {
      if (open) this.#drop(key)
      if (this.#held + total > this.#limitBytes) throw bad('too many bytes are under way on this channel')
      this.#held += total
      const buffer = new Uint8Array(total)
      buffer.set(part)
      this.#open.set(key, { header, buffer, filled: part.length })
      return undefined
    }
    if (!open || offset !== open.filled || total !== open.buffer.length || header.seq !== open.header.seq) {
      throw bad('a fragment does not follow the one before')
    }
    open.buffer.set(part, offset)
    open.filled += part.length
    if (open.filled < total) return undefined
    this.#drop(key)
    return { ...open.header, payload: open.buffer }
  }

  /** Forgets the half-received steps of a session that ended. */
  forget(session: SessionId): void {
    for (const key of this.#open.keys()) if (key.startsWith(session)) this.#drop(key)
  }

  #drop(key: string): void {
    this.#held -= this.#open.get(key)?.buffer.length ?? 0
    this.#open.delete(key)
  }
}

const bad = (why: string) => new ManyhandsError('bad-message', `Step refused: ${why}.`)
