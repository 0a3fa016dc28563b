/**
 * What every blob store must do, on whatever platform: the same checks run in Node and, over OPFS, in a real browser.
 * They talk to the misbehaving server of blob-server.ts.
 */
import { ManyhandsError, type ErrorCode } from '../protocol/errors.ts'
import { sha256 } from '../protocol/hash.ts'
import type { BlobRef } from '../protocol/manifest.ts'
import type { BlobFiles } from '../worker/blobs/blob-files.ts'
import { storedBlobs, type StoredBlobsOptions } from '../worker/blobs/stored-blobs.ts'

/** Requests for a blob that a server saw, and the bytes it sent. */
export interface Asked {
  requests: number
  bytes: number
}

export interface ContractPlatform {
  /** The server's base URL, ending in a slash. */
  readonly url: string
  /** The same folder each time. */
  readonly files: BlobFiles
}

export interface ContractCheck {
  readonly name: string
  run(platform: ContractPlatform): Promise<void>
}

const sizes = [1_000, 250_000, 1_300_000] as const
const made = new Map<string, Uint8Array>()

/** Test blobs, the same everywhere: `index` 0 to 2 of rising size; `salt` makes others. */
export async function testBlob(index: 0 | 1 | 2, salt: number): Promise<BlobRef> {
  const bytes = new Uint8Array(sizes[index])
  let state = salt + 1
  for (let i = 0; i < bytes.length; i++) bytes[i] = (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 24
  const hash = await sha256(bytes)
  made.set(hash, bytes)
  return { hash, bytes: bytes.length }
}

export const blobOf = (hash: string): Uint8Array | undefined => made.get(hash)

/** Salts in use; a server elsewhere has to make the same blobs. */
export async function makeTestBlobs(): Promise<void> {
  for (const check of blobContract.keys()) for (const index of [0, 1, 2] as const) await testBlob(index, check)
}

const checks: [
  string,
  (t: {
    open: (manner?: string, o?: Partial<StoredBlobsOptions>) => ReturnType<typeof storedBlobs>
    refs: [BlobRef, BlobRef, BlobRef]
    asked: (ref: BlobRef) => Promise<Asked>
    files: BlobFiles
  }) => Promise<void>,
][] = [
  [
    'fetches a blob once; a second visit downloads nothing',
    async ({ open, refs: [, , ref], asked }) => {
      const first = await open().get(ref, quiet)
      equal(first.fetchedBytes, ref.bytes, 'fetched at first')
      equal(await sha256(first.bytes), ref.hash, 'hash')
      const done: number[] = []
      const second = await open().get(ref, { ...quiet, onBytes: (n) => done.push(n) })
      equal(second.fetchedBytes, 0, 'fetched at the second visit')
      equal(await sha256(second.bytes), ref.hash, 'hash at the second visit')
      equal(done.at(-1), ref.bytes, 'progress ends at the size')
      equal((await asked(ref)).requests, 1, 'requests')
    },
  ],
  [
    'two that ask at once share one download',
    async ({ open, refs: [, ref], asked }) => {
      const store = open()
      const [a, b] = await Promise.all([store.get(ref, quiet), store.get(ref, quiet)])
      equal(a.fetchedBytes + b.fetchedBytes, ref.bytes, 'fetched together')
      equal((await asked(ref)).requests, 1, 'requests')
    },
  ],
  [
    'goes on where a broken connection stopped',
    async ({ open, refs: [, , ref], asked }) => {
      const { bytes, fetchedBytes } = await open('breaks').get(ref, quiet)
      equal(await sha256(bytes), ref.hash, 'hash')
      const seen = await asked(ref)
      ok(seen.requests > 5, `${seen.requests} requests`)
      equal(fetchedBytes, ref.bytes, 'no byte twice')
    },
  ],
  [
    'starts again where the server knows no ranges',
    async ({ open, refs: [, ref] }) => {
      const { bytes } = await open('forgetful').get(ref, quiet)
      equal(await sha256(bytes), ref.hash, 'hash')
    },
  ],
  [
    'keeps the part it has over a visit that ended early',
    async ({ open, refs: [, , ref] }) => {
      const stop = new AbortController()
      const early = open().get(ref, { signal: stop.signal, onBytes: (n) => n > 1_100_000 && stop.abort() })
      await rejects(early, 'aborted')
      const later = await open().get(ref, quiet)
      equal(await sha256(later.bytes), ref.hash, 'hash')
      ok(later.fetchedBytes < ref.bytes, `fetched ${later.fetchedBytes} of ${ref.bytes}`)
    },
  ],
  [
    'waits as long as a busy server asks, within reason',
    async ({ open, refs: [ref] }) => {
      const waits: number[] = []
      await open('busy', { wait: async (ms) => void waits.push(ms) }).get(ref, quiet)
      equal(waits.join(), '1000,1000', 'waits')
    },
  ],
  [
    'gives up on a dead server, with pauses that grow',
    async ({ open, refs: [ref] }) => {
      const waits: number[] = []
      await rejects(open('dead', { wait: async (ms) => void waits.push(ms) }).get(ref, quiet), 'unavailable')
      ok(waits.length > 2 && waits.every((ms, i) => i === 0 || ms > (waits[i - 1] as number)), waits.join())
    },
  ],
  ['says when the server has no such blob', async ({ open, refs: [ref] }) => rejects(open('missing').get(ref, quiet), 'not-found')],
  [
    'refuses other bytes than the hash says, and keeps none of them',
    async ({ open, refs: [, ref] }) => {
      await rejects(open('wrong').get(ref, quiet), 'hash-mismatch')
      equal((await open().usage()).bytes, 0, 'bytes kept')
      equal((await open().get(ref, quiet)).fetchedBytes, ref.bytes, 'fetched afterwards')
    },
  ],
  [
    'never takes more bytes than the size says',
    async ({ open, refs: [, ref] }) => rejects(open('longer').get(ref, quiet), 'hash-mismatch'),
  ],
  ['finds an answer that ends early', async ({ open, refs: [ref] }) => rejects(open('shorter').get(ref, quiet), 'unavailable')],
  [
    'finds a kept file that was damaged, and fetches it again',
    async ({ open, refs: [, ref], files }) => {
      await open().get(ref, quiet)
      const file = await files.open(ref.hash)
      await file?.write(new Uint8Array(16), 5_000)
      await file?.close()
      const { bytes, fetchedBytes } = await open().get(ref, quiet)
      equal(await sha256(bytes), ref.hash, 'hash')
      equal(fetchedBytes, ref.bytes, 'fetched')
      equal((await open().get(ref, quiet)).fetchedBytes, 0, 'fetched once more')
    },
  ],
  [
    'puts the oldest-used out first when the limit is reached',
    async ({ open, refs: [small, middle, large], files }) => {
      const limitBytes = large.bytes + middle.bytes
      for (const ref of [large, small, large, middle])
        await used(() => open('well', { limitBytes, now: later }).get(ref, quiet), files, ref)
      const kept = new Set((await files.list()).map((f) => f.name))
      ok(!kept.has(small.hash) && kept.has(large.hash) && kept.has(middle.hash), `${kept.size} kept`)
      ok((await open().usage()).bytes <= limitBytes, 'within the limit')
    },
  ],
  [
    'keeps what this visit used rather than drop it for the next shard',
    async ({ open, refs: [, middle, large] }) => {
      const options = { limitBytes: large.bytes }
      equal((await open('well', options).get(large, quiet)).notKept, undefined, 'first kept')
      equal((await open('well', options).get(middle, quiet)).notKept?.code, 'no-space', 'second')
      equal((await open('well', options).get(large, quiet)).fetchedBytes, 0, 'first is still there')
    },
  ],
  [
    'works from memory when the disk is full, and says so',
    async ({ open, refs: [, , ref], files }) => {
      const { bytes, notKept } = await open('well', { files: fullDisk(files) }).get(ref, quiet)
      equal(await sha256(bytes), ref.hash, 'hash')
      equal(notKept?.code, 'no-space', 'why not kept')
      equal((await open().usage()).bytes, 0, 'nothing is left lying')
    },
  ],
  [
    'empties itself',
    async ({ open, refs: [ref] }) => {
      await open().get(ref, quiet)
      await open().clear()
      equal((await open().usage()).bytes, 0, 'bytes kept')
    },
  ],
]

export const blobContract: readonly ContractCheck[] = checks.map(([name, run], salt) => ({
  name,
  async run({ url, files }) {
    const refs: [BlobRef, BlobRef, BlobRef] = [await testBlob(0, salt), await testBlob(1, salt), await testBlob(2, salt)]
    const open = (manner = 'well', o: Partial<StoredBlobsOptions> = {}) =>
      storedBlobs({ blobsUrl: `${url}${manner}/`, files, limitBytes: 2 ** 30, wait: async () => undefined, ...o })
    const asked = async (ref: BlobRef) => (await fetch(`${url}asked/${ref.hash}`)).json() as Promise<Asked>
    await open().clear()
    await run({ open, refs, asked, files })
  },
}))

const quiet = { signal: new AbortController().signal }
/** A day on: nothing is recently used any more. */
const later = () => Date.now() + 86_400_000

/** A file system's clock may tick slowly: repeats until the use shows as the latest. */
async function used(use: () => Promise<unknown>, files: BlobFiles, ref: BlobRef): Promise<void> {
  for (;;) {
    await use()
    const entries = await files.list()
    const own = entries.find((f) => f.name === ref.hash)
    if (own && entries.every((f) => f.name === ref.hash || f.usedAt < own.usedAt)) return
  }
}

function fullDisk(files: BlobFiles): BlobFiles {
  return {
    list: () => files.list(),
    remove: (name) => files.remove(name),
    exclusive: (name, signal, work) => files.exclusive(name, signal, work),
    async open(name) {
      const file = await files.open(name)
      if (!file) return undefined
      const full = async (): Promise<never> => {
        throw new ManyhandsError('no-space', 'The disk is full.')
      }
      return {
        bytes: file.bytes,
        read: (into) => file.read(into),
        write: full,
        truncate: (n) => file.truncate(n),
        touch: () => file.touch(),
        close: () => file.close(),
      }
    },
  }
}

async function rejects(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  const thrown = await work.then(
    () => undefined,
    (e: unknown) => e,
  )
  if (!(thrown instanceof ManyhandsError) || thrown.code !== code) throw new Error(`expected ${code}, got ${String(thrown)}`)
}

function equal(got: unknown, wanted: unknown, what: string): void {
  if (got !== wanted) throw new Error(`${what}: ${String(got)}, not ${String(wanted)}`)
}

function ok(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}
