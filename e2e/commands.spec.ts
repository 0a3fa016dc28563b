/** The commands as a stranger types them: what they print, how they end, and that they leave nothing running. */
import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from './harness/fixtures.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const references = JSON.parse(await readFile(new URL('fixtures/greedy.json', import.meta.url), 'utf8')) as { ids: number[]; text: string }[]

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Every process of a test has this in its environment, however deep down it was started. */
let mark = ''

const run = (command: string, ...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const options = { cwd: root, maxBuffer: 2 ** 24, env: { ...process.env, MANYHANDS_TEST: mark } }
    const child = execFile(process.execPath, ['scripts/run.mjs', command, ...args], options, (_, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr })
    })
  })

async function leftovers(): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (!environment.includes(mark)) continue
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    // A process that has ended and was not yet asked for its exit code has no line.
    if (line !== '') found.push(`${pid} ${line.replaceAll('\0', ' ').slice(0, 200)}`)
  }
  return found
}

test.beforeEach(() => void (mark = randomUUID()))
test.afterEach('nothing is left', () => expect.poll(leftovers).toEqual([]))

test('demo --once --json ends with the result as its last line', async () => {
  const { code, stdout } = await run('demo', '--once', '--json', '--port', '0', '--prompt', 'What is the capital of France?')
  expect(code).toBe(0)
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>
  expect(result).toMatchObject({
    model: 'smollm2-135m-instruct',
    text: references[0]?.text,
    tokenIds: references[0]?.ids,
    finish: 'stop',
    custody: { failed: 0 },
  })
  expect(result['stages']).toHaveLength(3)
  expect(result['hopMs']).toEqual({ median: expect.any(Number), p95: expect.any(Number) })
  expect(result['tokensPerSecond']).toBeGreaterThan(0)
})

test('demo --once shows the answer and a table, with the model that reads', async () => {
  const { code, stdout } = await run('demo', '--once', '--port', '0', '--model', 'pp-ocrv4-rec', '--stages', '2')
  expect(code).toBe(0)
  expect(stdout).toContain('Many hands, 1 line')
  expect(stdout).toMatch(/link-chunks checked, 0 failed/)
})

test('an unknown model fails and is named; what makes no sense is refused', async () => {
  const unknown = await run('demo', '--once', '--model', 'no-such-model')
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toContain('no-such-model')
  expect((await run('demo', '--stages', 'many')).code).toBe(2)
  expect((await run('models', 'teach')).code).toBe(2)
})

test('an interrupt in the middle ends everything', async () => {
  const child = spawn(process.execPath, ['scripts/run.mjs', 'demo', '--port', '0'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, MANYHANDS_TEST: mark },
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('Server')) resolve()
    })
  })
  child.kill('SIGINT')
  await ended
})
