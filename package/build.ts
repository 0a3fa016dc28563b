/**
 * `npm run package`: what is published and not built for the site anyway. Modules for Node beside their dependencies, and the types
 * of all. The modules for pages are vite.sdk.config.ts's.
 */
import { rm } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'
import { dts } from 'rolldown-plugin-dts'

const root = fileURLToPath(new URL('..', import.meta.url))
const source = (path: string) => join(root, path)
const out = (folder: string) => join(root, 'dist/package', folder)

const shared = {
  cwd: root,
  /** Every package by its name; only our own files are bundled. */
  external: (id: string) => !id.startsWith('.') && !isAbsolute(id),
  // Types take seconds, as they do.
  checks: { bundlerTimings: false },
}

await rm(out('node'), { recursive: true, force: true })
await build({
  ...shared,
  input: {
    manyhands: source('sdk/node.ts'),
    ocr: source('sdk/ocr/index.ts'),
    volunteer: source('sdk/volunteer-node.ts'),
    cli: source('package/cli.ts'),
  },
  platform: 'node',
  output: { dir: out('node'), format: 'es', entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
})

// The same in a page's bundler as in Node.
await rm(out('ai-sdk'), { recursive: true, force: true })
await build({
  ...shared,
  input: { 'ai-sdk': source('sdk/ai-sdk/index.ts') },
  platform: 'neutral',
  output: { dir: out('ai-sdk'), format: 'es', entryFileNames: '[name].js' },
})

await rm(out('types'), { recursive: true, force: true })
await build({
  ...shared,
  input: {
    manyhands: source('sdk/index.ts'),
    ocr: source('sdk/ocr/index.ts'),
    volunteer: source('package/volunteer.ts'),
    'volunteer-node': source('sdk/volunteer-node.ts'),
    widget: source('package/widget.ts'),
    'ai-sdk': source('sdk/ai-sdk/index.ts'),
  },
  plugins: [dts({ dtsOnly: true, tsconfig: source('tsconfig.json') })],
  output: { dir: out('types'), format: 'es', chunkFileNames: 'parts/[name]-[hash].d.ts' },
})
