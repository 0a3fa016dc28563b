/**
 * Runs an installed client (pip, npm, tar) for a download: no shell, no input, bounded output, and it ends with the caller's signal.
 */
import { spawn } from 'node:child_process'
import { ManyhandsError } from '../protocol/errors.ts'

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined
  readonly env?: Readonly<Record<string, string>>
  /** Takes standard output as it comes, instead of it being kept. */
  readonly onOutput?: (chunk: Buffer) => void | Promise<void>
}

/** Of what a client writes, kept for its error message; pip's and npm's fit many times. Characters. */
const maxKeptChars = 64 * 1024
/** A client that has not finished by then hangs: 100 MB at 0.5 Mbit/s. */
const maxCommandMs = 30 * 60_000

/**
 * Standard output of the command.
 * @throws ManyhandsError unavailable, with the client's own last words; aborted
 */
export async function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [program = '', ...args] = command
  const limit = AbortSignal.timeout(maxCommandMs)
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit
  signal.throwIfAborted()
  const child = spawn(program, args, { env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'], signal })
  let kept = ''
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints = (complaints + text).slice(-maxKeptChars)))
  const exit = new Promise<number | string>((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ENOENT' ? `${program} is not installed` : error.message))
    child.on('close', (code, killedBy) => resolve(code ?? `${program} was ended by ${killedBy}`))
  })
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      if (options.onOutput) await options.onOutput(chunk)
      else kept = (kept + chunk.toString('utf8')).slice(-maxKeptChars)
    }
  } catch (thrown) {
    child.kill()
    if (!signal.aborted) throw thrown
  }
  const code = await exit
  if (options.signal?.aborted) throw new ManyhandsError('aborted', 'Stopped.')
  if (limit.aborted) throw new ManyhandsError('unavailable', `${program} took longer than ${maxCommandMs / 60_000} minutes`)
  if (code !== 0)
    throw new ManyhandsError('unavailable', typeof code === 'string' ? code : lastWords(complaints) || `${program} ended with code ${code}`)
  return kept
}

/** The line of an error message that says most: the first that a client marks as its error, else the last. */
function lastWords(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const marked = lines.find((line) => /^(error|npm error)\b/i.test(line) && !/npm error (code|errno|syscall)/i.test(line))
  return (marked ?? lines.at(-1) ?? '').slice(0, 300)
}
