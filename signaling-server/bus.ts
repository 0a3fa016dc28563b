/**
 * The port between server processes: hints, delivered at most once. Whoever gets one looks at the store for the truth.
 */
import { ManyhandsError } from '../protocol/errors.ts'

/** A message of one server to others: with a third more for its encoding it fits PostgreSQL's 8,000. */
export const maxBusBytes = 5_000

export interface Bus {
  /** To one process by its name, or to all ('all'), this one included. @throws ManyhandsError bad-input when it is too long */
  send(process: string, bytes: Uint8Array): Promise<void>
  /** Returns what ends the listening. */
  onMessage(listener: (bytes: Uint8Array) => void): () => void
  /** Messages may have been lost: it is time to look for oneself. Returns what ends the listening. */
  onGap(listener: () => void): () => void
  close(): Promise<void>
}

/** @throws ManyhandsError bad-input */
export function checkBusBytes({ length }: Uint8Array): void {
  if (length > maxBusBytes)
    throw new ManyhandsError('bad-input', `A message between servers takes ${length} bytes; ${maxBusBytes} are allowed.`)
}

/** The bus of a server that is one process. */
export function memoryBus(name: string): Bus {
  const listeners = new Set<(bytes: Uint8Array) => void>()
  return {
    async send(process, bytes) {
      checkBusBytes(bytes)
      if (process !== name && process !== 'all') return
      const copy = bytes.slice()
      queueMicrotask(() => {
        for (const listener of listeners) listener(copy)
      })
    },
    onMessage(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    // Nothing is lost within a process.
    onGap: () => () => undefined,
    async close() {
      listeners.clear()
    },
  }
}
