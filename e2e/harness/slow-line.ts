/**
 * A line of a given speed in front of a server: all that passes shares it, whoever in the browser asked for it (the browser's
 * own emulation leaves out what workers fetch).
 */
import { connect, createServer, type Socket } from 'node:net'

export interface SlowLine {
  /** As the server's, with the line's own port. */
  readonly url: string
  /** Bytes that came down it so far. */
  readonly downBytes: number
  /** Torn: everything on it breaks off, and nothing new comes through. */
  setTorn(torn: boolean): void
  close(): Promise<void>
}

export interface LineTerms {
  /** Downstream, in bits a second; upstream is left as it is. */
  readonly bitsPerSecond: number
  /** One way, added to every piece. */
  readonly delayMs: number
}

/** What a home line does: 20 Mbit/s, 20 ms away. */
export const homeLine: LineTerms = { bitsPerSecond: 20_000_000, delayMs: 20 }

export async function slowLine(serverUrl: string, { bitsPerSecond, delayMs }: LineTerms = homeLine): Promise<SlowLine> {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  let downBytes = 0
  let torn = false
  /** When the line has sent all it was given, ms. */
  let freeAt = 0
  /** After `bytes` more have passed and travelled. */
  const passed = (bytes: number): Promise<void> => {
    const now = performance.now()
    freeAt = Math.max(now, freeAt) + (bytes * 8_000) / bitsPerSecond
    return new Promise((resolve) => setTimeout(resolve, freeAt - now + delayMs))
  }
  const server = createServer((client) => {
    if (torn) return void client.destroy()
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.once('close', () => sockets.delete(socket))
    }
    client.pipe(upstream)
    let sent = Promise.resolve()
    upstream.on('data', (part: Buffer) => {
      downBytes += part.length
      const arrival = passed(part.length)
      upstream.pause()
      sent = sent.then(() => arrival).then(() => void client.write(part))
      // The next piece may set out when this one has left, long before it arrives.
      setTimeout(() => upstream.resume(), Math.max(0, freeAt - performance.now()))
    })
    upstream.once('close', () => void sent.then(() => client.end()))
    client.once('close', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://localhost:${port}`,
    get downBytes() {
      return downBytes
    },
    setTorn(now) {
      torn = now
      if (torn) for (const socket of sockets) socket.destroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
