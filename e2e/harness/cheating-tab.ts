/** A volunteer whose tab runs a cheating worker in place of the shipped one: the page, the network and the rest are as shipped. */
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright'
import { build } from 'vite'
import type { CheatName } from '../../testing/cheats/index.ts'
import type { JoinOptions } from './volunteer-tab.ts'

let script: Promise<string> | undefined

/** How a volunteer joins that cheats so. */
export const cheating = (name: CheatName): JoinOptions => ({
  before: async (page: Page) => {
    const body = `globalThis.manyhandsCheat = ${JSON.stringify(name)};\n${await cheatingWorker()}`
    await page.route('**/assets/entry-*.js', async (route) => {
      const response = await route.fetch()
      const { 'content-length': _, 'content-encoding': __, ...headers } = response.headers()
      await route.fulfill({ response, headers, body })
    })
  },
})

/** The worker with all cheats in one file, built once. */
function cheatingWorker(): Promise<string> {
  script ??= (async () => {
    const result = await build({
      configFile: false,
      logLevel: 'error',
      root: fileURLToPath(new URL('../..', import.meta.url)),
      build: {
        write: false,
        target: 'esnext',
        minify: false,
        rolldownOptions: {
          input: fileURLToPath(new URL('../../testing/cheats/worker.ts', import.meta.url)),
          output: { codeSplitting: false },
        },
      },
    })
    const [output] = Array.isArray(result) ? result : [result]
    const [file] = output && 'output' in output ? output.output : []
    if (file?.type !== 'chunk') throw new Error('the cheating worker was not built')
    return file.code
  })()
  return script
}
