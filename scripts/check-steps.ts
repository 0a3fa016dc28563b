/**
 * What `npm run check` and `npm test` run: each step is a program with its report, and counts as tests passed and failed.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Count {
  readonly passed: number
  readonly failed: number
}

export interface CheckStep {
  readonly name: string
  /** A file of node_modules and its arguments. */
  readonly program: readonly [file: string, ...args: string[]]
  /** How to count its tests; without it the step itself is one. `report` is a path for a JSON file. */
  readonly counting?: {
    readonly args: (report: string) => readonly string[]
    readonly env?: (report: string) => Record<string, string>
    readonly count: (report: unknown) => Count
  }
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** Nothing here depends on another, so two at a time. */
export const quietSteps: readonly CheckStep[] = [
  { name: 'types', program: ['svelte-check/bin/svelte-check', '--tsconfig', './tsconfig.json', '--fail-on-warnings', '--output', 'human'] },
  { name: 'lint', program: ['oxlint/bin/oxlint'] },
  { name: 'format', program: ['oxfmt/bin/oxfmt', '--check', '.'] },
]

interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numFailedTestSuites: number
}

export const unitTests: CheckStep = {
  name: 'unit and property tests',
  program: ['vitest/vitest.mjs', 'run'],
  counting: {
    args: (report) => ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    count: (report) => {
      const { numPassedTests, numFailedTests, numFailedTestSuites } = report as VitestReport
      // A file that can't even be read fails without a test.
      return { passed: numPassedTests, failed: Math.max(numFailedTests, numFailedTestSuites > 0 ? 1 : 0) }
    },
  },
}

interface PlaywrightReport {
  readonly stats: { readonly expected: number; readonly unexpected: number; readonly flaky: number; readonly skipped: number }
  readonly errors: readonly unknown[]
}

export const browserTests: CheckStep = {
  name: 'browser tests',
  program: ['@playwright/test/cli.js', 'test'],
  counting: {
    args: () => ['--reporter=list,json'],
    env: (report) => ({ PLAYWRIGHT_JSON_OUTPUT_NAME: report }),
    count: (report) => {
      const { stats, errors } = report as PlaywrightReport
      return { passed: stats.expected, failed: stats.unexpected + stats.flaky + stats.skipped + errors.length }
    },
  },
}

/** Runs one step with its output shown as it comes, or (`quiet`) only when it fails. Says how long it took. */
async function runStep(step: CheckStep, quiet: boolean): Promise<Count> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-check-'))
  const report = join(folder, 'report.json')
  const start = performance.now()
  try {
    if (!quiet) process.stdout.write(`\n${step.name}\n`)
    const { code, text } = await runProgram(step, report, quiet)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    const count = await counted(step, report, code)
    if (quiet && code !== 0) process.stdout.write(`\n${text.trim()}\n`)
    process.stdout.write(`${count.failed === 0 ? 'ok  ' : 'FAIL'}  ${step.name}  ${seconds} s\n`)
    return count
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Two at a time where they are quiet, one after the other where they are shown. */
export async function runAll(steps: readonly CheckStep[], quiet = false): Promise<Count[]> {
  const counts: Count[] = []
  const waiting = [...steps]
  const turns = Array.from({ length: quiet ? 2 : 1 }, async () => {
    for (let step = waiting.shift(); step; step = waiting.shift()) counts.push(await runStep(step, quiet))
  })
  await Promise.all(turns)
  return counts
}

/** The closing line, which machines read too, and the exit code. */
export function conclude(counts: readonly Count[]): void {
  const sum = (key: keyof Count) => counts.reduce((total, count) => total + count[key], 0)
  process.stdout.write(`\n${sum('passed')} passed, ${sum('failed')} failed\n`)
  process.exitCode = sum('failed') === 0 ? 0 : 1
}

async function counted(step: CheckStep, report: string, code: number): Promise<Count> {
  const own = code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  if (!step.counting) return own
  const text = await readFile(report, 'utf8').catch(() => undefined)
  if (text === undefined) return { passed: 0, failed: 1 }
  const { passed, failed } = step.counting.count(JSON.parse(text))
  return { passed, failed: Math.max(failed, own.failed) }
}

function runProgram(step: CheckStep, report: string, quiet: boolean): Promise<{ code: number; text: string }> {
  const [file, ...args] = step.program
  const { counting } = step
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'node_modules', file), ...args, ...(counting?.args(report) ?? [])], {
      cwd: root,
      env: { ...process.env, ...counting?.env?.(report) },
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    })
    let text = ''
    child.stdout?.on('data', (part: Buffer) => (text += part.toString()))
    child.stderr?.on('data', (part: Buffer) => (text += part.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? 1, text }))
  })
}
