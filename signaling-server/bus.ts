/**
 * The port between server processes: hints, delivered at most once. Whoever gets one looks at the store for the truth.
 */
export interface Bus {
  /** To one process by its name, or to all ('all'), this one included. */
  send(process: string, bytes: Uint8Array): Promise<void>
  /** Returns what ends the listening. */
  onMessage(listener: (bytes: Uint8Array) => void): () => void
  close(): Promise<void>
}

/** The bus of a server that is one process. */
export function memoryBus(name: string): Bus {
  const listeners = new Set<(bytes: Uint8Array) => void>()
  return {
    async send(process, bytes) {
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
    async close() {
      listeners.clear()
    },
  }
}
