/**
 * Whether a click is the visitor's own will, from what the frame alone can see: the page around it may move, shrink, clip and cover
 * the frame and put the focus into it, but it can't make the visitor look, point and click twice. Pure.
 */

export type ConsentButton = 'give' | 'yes'

export interface Look {
  readonly at: number
  /** The part of the question that is inside what is shown, 0 to 1. */
  readonly ratio: number
  /** Nothing lies over it and it is not faded; undefined: the browser can't tell. */
  readonly visible: boolean | undefined
}

export interface Pointing {
  readonly t: 'enter' | 'move' | 'down' | 'leave'
  readonly button: ConsentButton
  readonly at: number
  /** `mouse`, `touch`, `pen`. */
  readonly kind: string
  readonly trusted: boolean
  readonly client: readonly [number, number]
  readonly screen: readonly [number, number]
}

export interface Click {
  readonly button: ConsentButton
  readonly at: number
  readonly trusted: boolean
  /** 0: not a pointer's, but a key's or a screen reader's. */
  readonly detail: number
}

/** `ask`: a second time, inside the frame. `again`: it was covered, cut off or too quick to be sure. */
export type Verdict = 'start' | 'ask' | 'again' | 'nothing'

/** Less of it shown is not the whole question; rounding takes the rest. */
export const leastRatio = 0.99
/** It has been in full view for so long, ms: time to see what it says. */
export const steadyMs = 500
/** The pointer has been on the button for so long before it is pressed, ms: a frame pushed under a hand about to click has not. */
export const hoverMs = 400
/** Between the second question and its answer, ms: longer than a double click or a held key. */
export const askedMs = 700
/** The pointer's way on the screen from which a scale is taken, CSS pixels. */
const leastWay = 3
/** A frame shrunk to less than this part of its size asks twice; browsers' own zoom goes lower. */
const leastScale = 0.65
/** And below this nobody can read it. It is the smallest zoom that browsers have. */
const leastReadableScale = 0.24

interface Pointer {
  readonly button: ConsentButton
  readonly kind: string
  readonly enteredAt: number
  readonly client: readonly [number, number]
  readonly screen: readonly [number, number]
  /** CSS pixels of the screen for one of the frame; undefined until the pointer has moved on the button. */
  readonly scale?: number
  readonly pressedAt?: number
}

export class Consent {
  #steadySince: number | undefined
  #tellsCovers = false
  #pointer: Pointer | undefined
  #askedAt: number | undefined

  looked({ at, ratio, visible }: Look): void {
    this.#tellsCovers = visible !== undefined
    if (ratio < leastRatio || visible === false) this.#steadySince = undefined
    else this.#steadySince ??= at
  }

  pointed({ t, button, at, kind, trusted, client, screen }: Pointing): void {
    if (!trusted) return
    if (t === 'leave') {
      this.#pointer = undefined
      return
    }
    // A finger comes down without having come near.
    const pointer = t !== 'enter' && this.#pointer?.button === button ? this.#pointer : { button, kind, enteredAt: at, client, screen }
    const scale = scaleOf(pointer, client, screen) ?? pointer.scale
    this.#pointer = { ...pointer, kind, ...(scale === undefined ? {} : { scale }), ...(t === 'down' ? { pressedAt: at } : {}) }
  }

  clicked({ button, at, trusted, detail }: Click): Verdict {
    if (!trusted) return 'nothing'
    const pointer = detail > 0 && this.#pointer?.button === button ? this.#pointer : undefined
    if (this.#pointer) {
      const { pressedAt: _, ...rest } = this.#pointer
      this.#pointer = rest
    }
    const moment = pointer?.pressedAt ?? at
    if (this.#steadySince === undefined || moment - this.#steadySince < steadyMs) return 'again'
    return button === 'give' ? this.#first(pointer, at) : this.#second(pointer, moment)
  }

  /** The visitor thought better of it. */
  declined(): void {
    this.#askedAt = undefined
    this.#pointer = undefined
  }

  #first(pointer: Pointer | undefined, at: number): Verdict {
    if (pointer?.kind === 'mouse' && this.#tellsCovers && hovered(pointer) && (pointer.scale ?? 0) >= leastScale) return 'start'
    this.#askedAt = at
    return 'ask'
  }

  #second(pointer: Pointer | undefined, moment: number): Verdict {
    if (this.#askedAt === undefined || moment - this.#askedAt < askedMs) return 'again'
    if (pointer?.kind === 'mouse' && !(hovered(pointer) && (pointer.scale ?? 0) >= leastReadableScale)) return 'again'
    return 'start'
  }
}

const hovered = ({ enteredAt, pressedAt }: Pointer) => pressedAt !== undefined && pressedAt - enteredAt >= hoverMs

function scaleOf(from: Pointer, client: readonly [number, number], screen: readonly [number, number]): number | undefined {
  const onScreen = Math.hypot(screen[0] - from.screen[0], screen[1] - from.screen[1])
  const inFrame = Math.hypot(client[0] - from.client[0], client[1] - from.client[1])
  return onScreen >= leastWay && inFrame > 0 ? onScreen / inFrame : undefined
}
