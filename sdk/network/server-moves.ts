/**
 * Which server a peer is at: the one it was told to go to ('moved'), or, when its own does not answer, another of those that
 * share its swarms. Bounded, so that servers that disagree don't send it round for ever.
 */
import type { ServerInfo } from './discovery.ts'

export interface ServerMovesPorts {
  discover(url: string): Promise<ServerInfo>
  /** As ControlSocket's. */
  readonly socket: { readonly ready: boolean; move(other: Promise<ServerInfo>): Promise<ServerInfo | undefined> }
  /** It is there now. */
  arrived(info: ServerInfo): void
  /** Milliseconds since some moment, which never step back. */
  uptime(): number
}

/** Dials of its own server that fail before another is tried: one may be a restart. */
const failuresBefore = 2
/** Moves within the window; past them it waits where it is, and asks again after another one. */
export const maxMoves = 3
export const movesWindowMs = 10_000
/** Between two moves to where there may be work, without a word of whose. */
export const hintMs = 5 * 60_000

export class ServerMoves {
  readonly #ports: ServerMovesPorts
  #info: ServerInfo
  #servers: readonly string[] = []
  #failures = 0
  #next = 0
  #looking = false
  #movedAt: number[] = []
  #hintAt = -Infinity
  #later: ReturnType<typeof setTimeout> | undefined

  constructor(info: ServerInfo, ports: ServerMovesPorts) {
    this.#info = info
    this.#ports = ports
  }

  get info(): ServerInfo {
    return this.#info
  }

  /** After each hello: all servers there are, as this one knows them. */
  welcomed(servers: readonly string[]): void {
    this.#failures = 0
    this.heard(servers)
  }

  /** Some came or went. */
  heard(servers: readonly string[]): void {
    // A server that knows no others takes none away: it may have lost its database.
    if (servers.length > 0) this.#servers = servers
  }

  /** A dial failed, or the connection broke. */
  lost(): void {
    this.#failures += 1
    if (this.#failures >= failuresBefore) void this.#tryAnother()
  }

  /**
   * Told to go to another server.
   * @param certain because that one has the swarm in question; else as a hint
   * @returns false when it is not followed
   */
  moved(url: string, certain: boolean): boolean {
    const now = this.#ports.uptime()
    if (!certain) {
      if (now - this.#hintAt < hintMs) return false
      this.#hintAt = now
    } else if (this.#movesLately(now) >= maxMoves) {
      // They may agree by then: this one is asked again.
      this.#later ??= setTimeout(() => void this.#go(Promise.resolve(this.#info)), movesWindowMs)
      return false
    }
    void this.#go(this.#ports.discover(url))
    return true
  }

  close(): void {
    clearTimeout(this.#later)
  }

  #movesLately(now: number): number {
    this.#movedAt = this.#movedAt.filter((at) => now - at < movesWindowMs)
    return this.#movedAt.length
  }

  async #tryAnother(): Promise<void> {
    const others = this.#servers.filter((url) => new URL(url).origin !== this.#info.base.origin)
    const url = others[this.#next++ % others.length]
    if (url === undefined || this.#looking) return
    this.#looking = true
    try {
      const info = await this.#ports.discover(url)
      // Its own may have come back meanwhile.
      if (!this.#ports.socket.ready) await this.#go(Promise.resolve(info))
    } catch {
      // The next failed dial tries the next one.
    } finally {
      this.#looking = false
    }
  }

  async #go(other: Promise<ServerInfo>): Promise<void> {
    clearTimeout(this.#later)
    this.#later = undefined
    const info = await this.#ports.socket.move(other)
    if (!info) return
    this.#movedAt.push(this.#ports.uptime())
    this.#info = info
    this.#ports.arrived(info)
  }
}
