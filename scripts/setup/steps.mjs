/** How the set-up tells what it does (on stderr, so that stdout stays a command's own) and runs other programs. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** What a person can do something about; its message says what. */
export class SetupError extends Error {}

/** @param {string} line */
export const say = (line) => void process.stderr.write(`${line}\n`)

/** A step that takes longer than this says that it is still alive. */
const stillMs = 15_000

/**
 * Runs one step, with its time.
 * @param {string} name
 * @param {() => Promise<string | void>} work what it returns is told: where it put things
 */
export async function stage(name, work) {
  const start = performance.now()
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1)
  const timer = setInterval(() => say(`${name}: still at it (${seconds()} s)`), stillMs)
  try {
    const told = await work()
    say(`${name}: done in ${seconds()} s${told ? ` (${told})` : ''}`)
  } finally {
    clearInterval(timer)
  }
}

/**
 * Runs a program to its end, quietly; what it wrote is in the error when it fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{env?: Record<string, string>, timeoutMs?: number}} [options]
 */
export function runQuietly(command, args, { env = {}, timeoutMs = 20 * 60_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      shell: process.platform === 'win32',
    })
    let text = ''
    const keep = (/** @type {Buffer} */ part) => (text = (text + part.toString()).slice(-8_000))
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (error) => reject(new SetupError(`${command} can't be run: ${error.message}.`)))
    child.on('close', (code, signal) => {
      if (code === 0) resolve(text)
      else reject(new SetupError(`${text.trim()}\n${command} ${args.join(' ')} failed (${signal ?? `exit code ${code}`}).`))
    })
  })
}
