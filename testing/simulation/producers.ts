/**
 * Who gets the next stage-job: of those with a place free the cheapest, which is what the server's router does, by sessions
 * under way and the shipped cost of trust. Costs are kept in classes a quarter of a doubling wide, so a choice takes no search.
 */
import type { Random } from './random.ts'

export interface Seat {
  sessions: number
  /** Class of cost and index in it; -1 when it takes no work. */
  costClass: number
  at: number
}

const classesPerDoubling = 4
/** Of the largest trust cost and the most sessions, doubled. */
const classes = 80

export interface Producers<S extends Seat> {
  /** Puts it where its cost says, or nowhere when it is infinite. */
  place(seat: S, cost: number): void
  /** Of the cheapest that pass, one by chance. */
  choose(random: Random, passes: (seat: S) => boolean): S | undefined
}

export function createProducers<S extends Seat>(): Producers<S> {
  const lists = Array.from({ length: classes }, (): S[] => [])
  const list = (i: number) => lists[i] as S[]
  return {
    place(seat, cost) {
      const to = cost === Infinity ? -1 : Math.min(classes - 1, Math.round(classesPerDoubling * Math.log2(cost)))
      if (to === seat.costClass) return
      if (seat.costClass >= 0) {
        const from = list(seat.costClass)
        const last = from.pop() as S
        if (last !== seat) {
          from[seat.at] = last
          last.at = seat.at
        }
      }
      seat.costClass = to
      if (to >= 0) seat.at = list(to).push(seat) - 1
    },
    choose(random, passes) {
      for (const seats of lists) {
        // A few tries: what does not pass is a session's own few peers and their networks.
        for (let i = Math.min(4, seats.length); i > 0; i--) {
          const seat = seats[random.below(seats.length)] as S
          if (passes(seat)) return seat
        }
      }
      return undefined
    },
  }
}
