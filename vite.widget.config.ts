/** The widget, built into dist/w/VERSION: the frame with its chunks, the loader as one file, and the loader's hash for those who name it. */
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { build, defineConfig, type Plugin } from 'vite'
import { version } from './package.json'
import { licences } from './package/licences.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))
/** The oldest browsers that have all that the frame's page is made of; what computes asks for newer ones itself. */
const target = ['chrome123', 'firefox128', 'safari17.5']

/** One file that runs as a classic script and as a module alike. */
async function loaderCode(): Promise<string> {
  const result = await build({
    configFile: false,
    root: at('web/widget'),
    logLevel: 'warn',
    build: { write: false, target, lib: { entry: at('web/widget/loader.ts'), formats: ['iife'], name: 'manyhands' } },
  })
  const [output] = Array.isArray(result) ? result : [result]
  const [file] = output && 'output' in output ? output.output : []
  if (file?.type !== 'chunk') throw new Error('The loader was not built.')
  return file.code
}

const loader: Plugin = {
  name: 'manyhands-loader',
  apply: 'build',
  async generateBundle() {
    const code = await loaderCode()
    const integrity = `sha384-${createHash('sha384').update(code).digest('base64')}`
    const published = { version, integrity, bytes: Buffer.byteLength(code) }
    this.emitFile({ type: 'asset', fileName: 'mh.js', source: code })
    this.emitFile({ type: 'asset', fileName: 'mh.json', source: `${JSON.stringify(published, undefined, 2)}\n` })
  },
}

/** What is loaded later is loaded then, as it is written: vite's own way there would weigh a kilobyte in every visit. */
const preloadHelper = '\0vite/preload-helper.js'
const plainImports: Plugin = {
  name: 'manyhands-plain-imports',
  enforce: 'pre',
  load: (id) => (id === preloadHelper ? 'export const __vitePreload = (load) => load()' : undefined),
}

export default defineConfig({
  root: at('web/widget'),
  // It is served below its version, wherever the server is.
  base: './',
  publicDir: false,
  plugins: [plainImports, loader, licences()],
  // Most of PeerJS's weight, see there.
  resolve: { alias: { 'webrtc-adapter': at('sdk/network/browser-details.ts') } },
  worker: { format: 'es' },
  build: {
    outDir: at(`dist/w/${version}`),
    emptyOutDir: true,
    target,
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
    rolldownOptions: { input: at('web/widget/frame.html') },
  },
})
