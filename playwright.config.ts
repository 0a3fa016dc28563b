/** Real browsers in separate processes, against a real server: see e2e/harness/. One spec at a time, since they share the CPU. */
import { defineConfig } from '@playwright/test'

export default defineConfig({
  testDir: 'e2e',
  testMatch: '**/*.spec.ts',
  workers: 1,
  retries: 0,
  forbidOnly: true,
  // A bound for what hangs; each wait inside has its own.
  timeout: 240_000,
  reporter: 'list',
  outputDir: 'test-results',
  use: { trace: 'off', screenshot: 'off', video: 'off' },
})
