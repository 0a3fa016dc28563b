/** The command over what shipped peers sign: a whole pipeline in memory, rerouted in the middle of its answer, and its file on disk. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openLibrary } from '../../models/library.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { chunkBytes, decodeChunk } from '../../protocol/custody.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { createIdentity, exportIdentity } from '../../protocol/keys.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { readReceiptFile, type ReceiptFileJson } from '../../protocol/receipt-file.ts'
import type { TensorValue } from '../../protocol/tensors.ts'
import { unpackTensors } from '../../protocol/tensors.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { startServer } from '../../signaling-server/server.ts'
import { makeReceiptFile } from '../../testing/receipt-files.ts'
import { Ring } from '../../testing/ring.ts'
import { tinyLlama } from '../../testing/tiny-llama.ts'
import { loadHere, publishTiny } from '../../testing/tiny-stages.ts'
import { feedSpecs, readTokens } from '../../worker/ring/step-tensors.ts'
import { runReceipt } from './command.ts'
import { verifyReceipt } from './verify.ts'

const prompt = Array.from({ length: 45 }, (_, i) => (i * 7 + 3) % 250)
/** A bound for what hangs: the machine may be busy. */
const waitMs = 60_000
let data: string
let path: string
let ring: Ring
/** Of an answer whose second stage was replaced, and of one whose last was. */
let good: ReceiptFileJson
let hostLost: ReceiptFileJson

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'receipt-'))
  path = join(data, 'receipt.json')
  const model = await publishTiny({ layers: 2 })
  const { revision } = await openLibrary(data).addFile(tinyLlama({ layers: 2 }), { name: 'tiny' })
  const boundaries = [0, 2, 4, model.manifest.blocks.length]
  const parts = [0, 1, 2, 1, 2].map((i) => loadHere(model, boundaries[i] as number, boundaries[i + 1] as number))
  ring = await Ring.start(await Promise.all(parts), revision)
  const answered = async (before: readonly number[], killed: number, after: readonly number[]) => {
    const first = await ring.ticket(boundaries, { revision }, before)
    return fileOf(await answerRerouted(first, model.manifest, killed, after))
  }
  good = await answered([0, 1, 2], 1, [0, 3, 2])
  hostLost = await answered([0, 3, 2], 2, [0, 3, 4])
}, 5 * waitMs)

/** The last proofs come a moment after the end. */
function fileOf({ tickets, answer }: { tickets: Ticket[]; answer: number[] }): Promise<ReceiptFileJson> {
  const { server, requester, identities } = ring
  const ended = { server, tickets, parties: [requester, ...identities], prompt: { ids: prompt }, answer: { ids: answer } }
  return vi.waitFor(async () => {
    const proofs = inOrder(ring.proofs, tickets[0]?.session)
    const json = await makeReceiptFile({ ...ended, proofs, url: 'http://127.0.0.1:9' })
    const { checks } = await verifyReceipt(readReceiptFile(JSON.stringify(json)), { keys: [server.publicKey], why: 'the test' })
    expect(checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
    return json
  }, waitMs)
}
afterAll(async () => {
  ring.stop(new ManyhandsError('closed', 'The test is over.'))
  await rm(data, { recursive: true })
})

/** One of its volunteers is killed when the fifth token has come; others take over. */
async function answerRerouted(
  first: Ticket,
  manifest: Manifest,
  killed: number,
  after: readonly number[],
): Promise<{ tickets: Ticket[]; answer: number[] }> {
  const answer: number[] = []
  let rerouted: Promise<Ticket> | undefined
  const asking = await ring.ask(first, (step) => {
    const [value] = unpackTensors(step.payload, feedSpecs(manifest))
    answer.push(...readTokens(value as TensorValue, step.rows, manifest.decoder?.vocab ?? 0))
    if (answer.length !== 5) return
    ring.kill(killed)
    rerouted = ring.reroute(first.session, after)
  })
  asking.start(prompt.length, 20)
  ring.sendPrompt(asking, prompt)
  await asking.ended
  return { tickets: [first, (await rerouted) as Ticket], answer }
}

const chunkOf = (proof: Uint8Array) => decodeChunk(proof.subarray(0, chunkBytes))

function inOrder(proofs: readonly Uint8Array[], session: string | undefined): Bytes[] {
  const all = proofs.map((proof) => ({ proof: proof as Bytes, chunk: chunkOf(proof) })).filter(({ chunk }) => chunk.session === session)
  all.sort((a, b) => a.chunk.generation - b.chunk.generation || a.chunk.link - b.chunk.link || a.chunk.seq - b.chunk.seq)
  return all.map(({ proof }) => proof)
}

async function run(file: unknown, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  await writeFile(path, typeof file === 'string' ? file : JSON.stringify(file))
  const said = { out: '', err: '' }
  const code = await runReceipt(['verify', path, ...args], { out: (text) => (said.out += text), err: (text) => (said.err += text) })
  return { code, ...said }
}

const key = () => ['--server-key', ring.server.publicKey]

describe('manyhands receipt', () => {
  it('proves what peers signed in a rerouted answer, and computes it again to the bit', async () => {
    const { code, out, err } = await run(good, '--replay', '--data', data, '--threads', '1', ...key())
    expect(out).toMatch(/\nProved\.\n$/)
    expect(out).toContain('20 tokens, each what the model gives')
    expect(out).toMatch(/stage 2, generation 1 +\d+ chunks equal bit for bit\n/)
    expect(err).toContain('Computing the answer again with Tiny llama')
    expect(code).toBe(0)
  })

  it('proves an answer whose host was lost too: the one before and the one after gave the same', async () => {
    const { code, out } = await run(hostLost, '--replay', '--data', data, '--threads', '1', ...key())
    expect(out).toMatch(/logits of stage 3 +\d+ chunks? equal bit for bit\n/)
    expect(out).toMatch(/logits of stage 3, generation 1 +\d+ chunks? equal bit for bit\n/)
    expect(code).toBe(0)
  })

  it('says in JSON what is wrong', async () => {
    const changed = { ...good, answer: { ids: ('ids' in good.answer ? good.answer.ids : []).map((id, i) => (i === 3 ? id + 1 : id)) } }
    const { code, out } = await run(changed, '--json', '--replay', '--data', data, ...key())
    expect(code).toBe(1)
    const { proved, checks } = JSON.parse(out) as { proved: boolean; checks: { name: string; verdict: string; says: string }[] }
    expect(proved).toBe(false)
    expect(checks.filter(({ verdict }) => verdict !== 'ok').map(({ name }) => name)).toEqual([
      "answer's hash",
      "answer's signature",
      'what was carried',
      'replay',
    ])
  })

  it("trusts the key in a server's own folder, or that a server gives; else it says that nobody vouches for it", async () => {
    const nobody = await run(good, '--data', data)
    expect(nobody).toMatchObject({ code: 1, out: expect.stringContaining('nobody vouches for it (127.0.0.1:9 could not be reached)') })
    const present = await exportIdentity(await createIdentity(true))
    await writeFile(join(data, 'server-key.json'), JSON.stringify({ ...present, past: [ring.server.publicKey] }))
    const own = await run(good, '--data', data)
    expect(own).toMatchObject({ code: 0, out: expect.stringContaining(`of the server whose folder is ${data}`) })
    const server = await startServer({ data, port: 0 })
    try {
      const elsewhere = join(data, 'elsewhere')
      const named = await run({ ...good, server: server.url }, '--data', elsewhere, '--replay', '--threads', '1')
      expect(named).toMatchObject({ code: 0, out: expect.stringContaining(`of ${server.url}, which the file names`) })
      expect(named.err).toContain(`from ${server.url}`)
      expect(await run(good, '--data', data, '--server', server.url)).toMatchObject({
        code: 0,
        out: expect.stringContaining(`of ${server.url}\n`),
      })
    } finally {
      await server.close()
    }
  })

  it('says so when the model can be had nowhere', async () => {
    const { code, out } = await run(good, '--replay', '--data', join(data, 'nothing'), ...key())
    expect(code).toBe(1)
    expect(out).toMatch(/open +replay +The model [0-9a-f]{12} is not in/)
  })

  it.each([
    ['no JSON', '{', [], /not JSON/],
    ['another file', '{"v":1}', [], /Receipt file refused/],
    ['an option that there is not', '{}', ['--nothing'], /nothing/],
    ['a key that is none', '{}', ['--server-key', 'abc'], /64 hexadecimal digits/],
  ])('does not understand %s', async (_, file, args, message) => {
    const { code, err, out } = await run(file, ...args)
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(message)
    expect(err).not.toMatch(/\n +at /)
  })

  it('helps', async () => {
    let out = ''
    expect(await runReceipt(['--help'], { out: (text) => (out += text), err: () => undefined })).toBe(0)
    expect(out).toContain('verify FILE')
    expect(await runReceipt([], { out: () => undefined, err: () => undefined })).toBe(2)
  })
})
