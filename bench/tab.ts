/** One engine in one tab of a browser of its own, told what to do from here. */
import { startBrowser, type BrowserProcess } from '../e2e/harness/browser-process.ts'
import type { YardstickName } from './pages/index.ts'
import type { PassTimes } from './pages/yardstick.ts'

export interface EngineTab {
  /** What it is, with versions and threads. */
  readonly name: string
  pass(promptTokens: number, answerTokens: number): Promise<PassTimes>
  close(): Promise<void>
}

export async function engineTab(site: string, kind: YardstickName, threads: number): Promise<EngineTab> {
  const browser = await startBrowser()
  try {
    await openBench(browser, site)
    const name = await browser.page.evaluate(
      async ([which, base, count]) => {
        const engine = await globalThis.yardstick(which)
        globalThis.engine = engine
        return await engine.load({ base, threads: count })
      },
      [kind, site, threads] as const,
    )
    const pass = (promptTokens: number, answerTokens: number) =>
      browser.page.evaluate(
        ([prompt, answer]) => {
          if (!globalThis.engine) throw new Error('no engine')
          return globalThis.engine.pass(prompt, answer)
        },
        [promptTokens, answerTokens] as const,
      )
    return { name, pass, close: () => browser.close() }
  } catch (error) {
    await browser.close()
    throw error
  }
}

export async function openBench(browser: BrowserProcess, site: string): Promise<void> {
  await browser.page.goto(site)
  await browser.page.waitForFunction(() => typeof globalThis.yardstick === 'function')
}
