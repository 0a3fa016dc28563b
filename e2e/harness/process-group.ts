/**
 * A program in a process group of its own: all its processes end, freeze and thaw together, an interrupt at the terminal does
 * not reach it by itself, and none outlives the one who started it.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Between asking a program to end and killing it. */
const graceMs = 5_000
/** Of its output, what is kept for an error's text. */
const keptChars = 20_000

export class ProcessGroup {
  readonly pid: number
  readonly ended: Promise<void>
  readonly #name: string
  readonly #listeners = new Set<() => void>()
  #output = ''
  #running = true

  constructor(name: string, command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#name = name
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    this.pid = child.pid ?? 0
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-keptChars)
        for (const listener of this.#listeners) listener()
      })
    }
    this.ended = new Promise((resolve) => {
      const end = (why = '') => {
        this.#output += why
        this.#running = false
        living.delete(this)
        for (const listener of this.#listeners) listener()
        resolve()
      }
      child.once('exit', () => end())
      child.once('error', (error) => end(error.message))
    })
    living.add(this)
  }

  get running(): boolean {
    return this.#running
  }

  /** The end of what it wrote, on both streams. */
  get output(): string {
    return this.#output
  }

  /** The first match of `pattern` in its output. Rejects when it ends first, or does not say it in time. */
  says(pattern: RegExp, timeoutMs: number, signal?: AbortSignal): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const limit = AbortSignal.timeout(timeoutMs)
      const either = signal ? AbortSignal.any([limit, signal]) : limit
      const finish = (settle: () => void) => {
        this.#listeners.delete(look)
        either.removeEventListener('abort', look)
        settle()
      }
      const fail = (why: string) =>
        finish(() => reject(new Error(`${this.#name} ${why}. It wrote: ${this.#output.trim().slice(-2_000) || 'nothing'}`)))
      const look = () => {
        const found = pattern.exec(this.#output)
        if (found) finish(() => resolve(found))
        else if (signal?.aborted) finish(() => reject(signal.reason))
        else if (!this.#running) fail('ended before it was ready')
        else if (limit.aborted) fail(`was not ready within ${timeoutMs / 1000} s`)
      }
      this.#listeners.add(look)
      either.addEventListener('abort', look)
      look()
    })
  }

  /** SIGKILL: gone without a word. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.ended
  }

  /** SIGTERM, or another way of asking; SIGKILL when that takes too long. */
  async end(ask: () => unknown = () => this.signal('SIGTERM')): Promise<void> {
    if (!this.#running) return
    this.signal('SIGCONT')
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs)
    ask()
    await this.ended
    clearTimeout(timer)
    // What it started itself, and has not ended.
    this.signal('SIGKILL')
  }

  signal(signal: NodeJS.Signals): void {
    if (this.pid === 0) return
    try {
      process.kill(-this.pid, signal)
    } catch {
      // Gone already.
    }
  }
}

const living = new Set<ProcessGroup>()
process.once('exit', () => {
  for (const group of living) group.signal('SIGKILL')
})
