/** Whether honest peers are ever taken for liars: the same chunks on every engine there is, compared as an audit compares them. */
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBrowser } from '../../e2e/harness/browser-process.ts'
import { openLibrary } from '../../models/library.ts'
import { splitStages } from '../../models/split.ts'
import { sketchDistance } from '../../protocol/sketch.ts'
import type { Backend } from '../../protocol/ticket.ts'
import { compareWork } from '../../signaling-server/trust/verdict.ts'
import { tinyLlama } from '../../testing/tiny-llama.ts'
import { ortFromPackage } from '../../worker/engine/node-engine.ts'
import { startFirefox } from '../firefox.ts'
import { HonestPeer, type HonestChunk, type HonestSetup, type HonestTask } from '../pages/honest.ts'
import { promise, type Part } from '../report.ts'
import { benchSite } from '../site.ts'

const chunksPerSession = 8
const wasmChunks = 2_500
const gpuChunks = 500
/** A prompt's runs. */
const mostRows = 16

interface Peer {
  readonly name: string
  readonly rowLimit: number
  chunks(task: HonestTask): Promise<HonestChunk[]>
  close(): Promise<void>
}

export async function honest(root: string, say: (line: string) => void): Promise<Part> {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-honest-'))
  const library = openLibrary(folder)
  const { revision, manifest } = await library.addFile(tinyLlama({ layers: 2 }), { name: 'tiny' })
  await symlink(library.manifestPath(revision), join(folder, 'manifest.json'))
  await writeFile(join(folder, 'index.html'), '')
  const site = await benchSite({
    '/': join(root, 'dist/bench/'),
    '/assets/': join(root, 'dist/bench/assets/'),
    '/ort/': join(root, 'node_modules/onnxruntime-web/dist'),
    '/tiny/blobs/': library.blobs.directory,
    '/tiny/': folder,
  })
  const middle = splitStages(manifest.blocks, 2)[1] as { first: number; end: number }
  const setup = (backend: Backend, threads: number): HonestSetup => ({
    base: site.url,
    manifest: 'tiny/manifest.json',
    range: middle,
    backend,
    threads,
  })
  const node = await HonestPeer.load(setup('wasm', 1), manifest, {
    ort: ortFromPackage(),
    blobs: {
      get: async (ref) => ({ bytes: await library.blobs.get(ref.hash), fetchedBytes: 0 }),
      usage: async () => ({ bytes: 0, limitBytes: 0 }),
      clear: async () => undefined,
    },
  })
  const rows: string[][] = []
  let accused = 0
  let compared = 0
  const missing: string[] = []
  try {
    for (const [kind, backend, threads] of [
      ['Chromium', 'wasm', 1],
      ['Chromium', 'wasm', 2],
      ['Firefox', 'wasm', 1],
      ['Firefox', 'wasm', 2],
      ['Chromium', 'webgpu', 1],
      ['Firefox', 'webgpu', 1],
    ] as const) {
      const peer = await openPeer(kind, setup(backend, threads))
      if (!peer) {
        missing.push(kind)
        continue
      }
      try {
        const count = backend === 'wasm' ? wasmChunks : gpuChunks
        const seen = await compare(node, peer, count, backend === 'wasm', (line) => say(`${kind}, ${peer.name}: ${line}`))
        compared += seen.chunks
        accused += seen.accused
        say(
          `${kind}, ${peer.name}: ${seen.chunks} chunks, ${seen.unequal} unequal hashes, ${seen.worst.toExponential(1)} apart at most, ${seen.accused} accused`,
        )
        rows.push([`${kind}, ${peer.name}`, String(seen.chunks), String(seen.unequal), seen.worst.toExponential(1), String(seen.accused)])
      } finally {
        await peer.close()
      }
    }
  } finally {
    await site.close()
    await rm(folder, { recursive: true })
  }
  return {
    title: 'Honest peers, compared as an audit compares',
    how: `A tiny decoder's last half against Node's wasm with 1 thread: conversations of ${chunksPerSession} chunks, prompts in runs of up to ${mostRows} rows and tokens one by one.${
      missing.length > 0 ? ` Not there: ${missing.join(', ')}.` : ''
    }`,
    head: ['against Node', 'chunks', 'unequal hashes', 'largest sketch distance of a row', 'accused'],
    rows,
    promises: [promise(`none of ${compared} chunks accused`, accused, accused === 0, 0)],
  }
}

async function compare(node: HonestPeer, peer: Peer, count: number, bothWasm: boolean, say: (line: string) => void) {
  const seen = { chunks: 0, unequal: 0, worst: 0, accused: 0 }
  while (seen.chunks < count) {
    const task = { seed: 1 + seen.chunks, chunks: chunksPerSession, mostRows: Math.min(mostRows, peer.rowLimit) }
    const [ours, theirs] = [await node.chunks(task), await peer.chunks(task)]
    for (const [i, own] of ours.entries()) {
      const other = theirs[i] as HonestChunk
      const hashesEqual = own.hash === other.hash
      const { worst } = sketchDistance(Float32Array.from(own.sketch), Float32Array.from(other.sketch))
      seen.chunks += 1
      if (!hashesEqual) seen.unequal += 1
      seen.worst = Math.max(seen.worst, worst)
      if (compareWork({ hashesEqual, bothWasm, worst }) === 'different') seen.accused += 1
    }
    if (seen.chunks % 400 === 0) say(`${seen.chunks} of ${count} chunks`)
  }
  return seen
}

async function openPeer(kind: 'Chromium' | 'Firefox', setup: HonestSetup): Promise<Peer | undefined> {
  const browser = kind === 'Chromium' ? await startBrowser({ webgpu: setup.backend === 'webgpu' }) : await startFirefox()
  if (!browser) return undefined
  // Both drivers' pages take these three alike.
  const page = browser.page as {
    goto(url: string): Promise<unknown>
    evaluate(work: (arg: never) => unknown, arg: unknown): Promise<unknown>
  }
  try {
    await page.goto(setup.base)
    const load = async (given: HonestSetup) => {
      globalThis.honestPeer = globalThis.honest()
      return await globalThis.honestPeer.load(given)
    }
    const loaded = (await page.evaluate(load, setup)) as { name: string; rowLimit: number }
    const chunks = (task: HonestTask) => globalThis.honestPeer?.chunks(task)
    return {
      ...loaded,
      chunks: async (task) => (await page.evaluate(chunks, task)) as HonestChunk[],
      close: () => browser.close(),
    }
  } catch (error) {
    await browser.close()
    throw error
  }
}
