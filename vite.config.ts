/** The page: a Svelte app with a compute worker of its own. Built into dist/web, which the signaling server serves. */
import { fileURLToPath } from 'node:url'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'
import { licences } from './package/licences.ts'
import { words } from './scripts/setup/words.mjs'

/** Both headers give the page shared memory, which threads in wasm need. */
const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }
/** `vite` alone serves the page; the rest comes from a server started with `npm start`. */
const server = 'http://localhost:8080'

export default defineConfig({
  root: fileURLToPath(new URL('web/app', import.meta.url)),
  plugins: [words(), svelte({ configFile: false }), licences()],
  // Most of PeerJS's weight, see there.
  resolve: { alias: { 'webrtc-adapter': fileURLToPath(new URL('sdk/network/browser-details.ts', import.meta.url)) } },
  worker: { format: 'es' },
  build: {
    outDir: fileURLToPath(new URL('dist/web', import.meta.url)),
    emptyOutDir: true,
    target: ['chrome120', 'firefox128', 'safari17'],
    // The page's content security policy takes no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    headers: isolation,
    fs: { allow: [fileURLToPath(new URL('.', import.meta.url))] },
    proxy: Object.fromEntries(
      ['/.well-known', '/blobs', '/manifests', '/ort', '/socket', '/peerjs'].map((path) => [path, { target: server, ws: true }]),
    ),
  },
  preview: { headers: isolation },
})
