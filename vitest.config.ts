/** Unit and property tests, in Node. What needs a browser is in e2e/ and runs under Playwright. */
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'
import { words } from './scripts/setup/words.mjs'

export default defineConfig({
  plugins: [words(), svelte({ configFile: false })],
  test: {
    include: ['{protocol,models,link,worker,sdk,signaling-server,gateway,web,testing,scripts,bench}/**/*.test.ts'],
    // A bound for what hangs, not a limit on speed: the machine may be busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
