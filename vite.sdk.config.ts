/** The SDK for pages, built into dist/package/browser: modules that stand by themselves, for npm and for the server's /sdk/VERSION/. */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { licences } from './package/licences.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  root: at('.'),
  publicDir: false,
  plugins: [licences()],
  // Most of PeerJS's weight, see there.
  resolve: { alias: { 'webrtc-adapter': at('sdk/network/browser-details.ts') } },
  worker: { format: 'es' },
  build: {
    outDir: at('dist/package/browser'),
    emptyOutDir: true,
    target: ['chrome120', 'firefox128', 'safari17'],
    reportCompressedSize: false,
    lib: {
      entry: {
        manyhands: at('sdk/index.ts'),
        ocr: at('sdk/ocr/index.ts'),
        volunteer: at('package/volunteer.ts'),
        widget: at('package/widget.ts'),
      },
      formats: ['es'],
    },
    rolldownOptions: {
      output: {
        entryFileNames: '[name].js',
        // The server lets what lies in assets/ be kept for good: its name is its content's.
        chunkFileNames: 'assets/[name]-[hash].js',
        // A library's modules keep their white space otherwise.
        minify: true,
      },
    },
  },
})
