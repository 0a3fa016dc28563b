import { describe, expect, it } from 'vitest'
import type { Bytes } from '../../protocol/bytes.ts'
import { createIdentity, type Identity } from '../../protocol/keys.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { readReceiptFile } from '../../protocol/receipt-file.ts'
import { packTensors, type TensorValue } from '../../protocol/tensors.ts'
import { signTicket, type Backend } from '../../protocol/ticket.ts'
import { makeReceiptFile, signSteps } from '../../testing/receipt-files.ts'
import { makeTicket } from '../../testing/tickets.ts'
import { ToyEngine, toyManifest } from '../../testing/toy-engine.ts'
import { float32View } from '../../worker/ring/step-tensors.ts'
import { replay } from './replay.ts'
import { piecesBytes } from './stage-replay.ts'
import { verifyReceipt } from './verify.ts'

const identities = await Promise.all(Array.from({ length: 4 }, () => createIdentity()))
const [server, requester, ...stages] = identities as [Identity, Identity, ...Identity[]]
const row = { dtype: 'float32' as const, shape: [1, 'n'] }
const { decoder: _, ...once } = toyManifest(2)
const manifest: Manifest = {
  ...once,
  inputs: [{ ...row, name: 'x', role: 'feed' }],
  outputs: [{ ...row, name: 'y', role: 'result' }],
}

const tensor = (...values: number[]): TensorValue => ({
  dtype: 'float32',
  dims: [1, values.length],
  bytes: new Uint8Array(Float32Array.from(values).buffer),
})
/** The first stage sends x and its double, the second adds them up. */
const compute = (first: number, [x, y]: readonly TensorValue[]): TensorValue[] => {
  const values = x ? [...float32View(x.bytes)] : []
  if (first === 0) return [tensor(...values), tensor(...values.map((v) => 2 * v))]
  const others = y ? float32View(y.bytes) : []
  return [tensor(...values.map((v, i) => v + (others[i] ?? 0)))]
}

class ToySum extends ToyEngine {
  override async run({ inputs }: Parameters<ToyEngine['run']>[0]) {
    return { outputs: compute(this.range.first, inputs), runMs: 1 }
  }
}

/** @param change what a stage sends instead */
async function results(
  change: (first: number, outputs: TensorValue[]) => TensorValue[] = (_, outputs) => outputs,
  backend: Backend = 'wasm',
) {
  const { signature: _, ...body } = await makeTicket(server, requester, stages)
  const ticket = await signTicket({ ...body, stages: body.stages.map((stage) => ({ ...stage, backend })) }, server.privateKey)
  const feeds = [tensor(1, 2, 3)]
  const inner = change(0, compute(0, feeds))
  const outputs = change(1, compute(1, inner))
  const proofs: Bytes[] = []
  for (const [link, carried] of [feeds, inner, outputs, feeds].entries())
    proofs.push(
      ...(await signSteps(ticket, [requester, ...stages], link, [{ position: 0, rows: 1, bytes: piecesBytes([{ tensors: carried }]) }])),
    )
  const content = (tensors: TensorValue[]) => ({ packed: packTensors(tensors), tensors: tensors.length })
  const parties = [requester, ...stages]
  const json = await makeReceiptFile({ server, parties, tickets: [ticket], proofs, prompt: content(feeds), answer: content(outputs) })
  const file = readReceiptFile(JSON.stringify(json))
  const { checks, proven } = await verifyReceipt(file, { keys: [server.publicKey], why: 'the test' })
  expect(checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  const found = await replay(file, proven, { manifest, load: async (range) => new ToySum(manifest, range), progress: () => undefined })
  return found.map(({ name, verdict, says }) => `${name}: ${verdict}: ${says}`)
}

const off = (by: number) => (tensors: TensorValue[]) =>
  tensors.map(({ bytes }) => tensor(...[...float32View(bytes)].map((v) => v * (1 + by))))

describe('a replay of a model without a decoder', () => {
  it('is equal for honest stages, also where two tensors cross a cut', async () => {
    expect(await results()).toEqual(['replay, stage 1: ok: 1 chunk equal bit for bit', 'replay, results: ok: 1 tensor equal bit for bit'])
  })

  it('names the first stage that lied', async () => {
    const inner = await results((first, outputs) => (first === 0 ? off(1e-6)(outputs) : outputs))
    expect(inner).toEqual([
      expect.stringMatching(/^replay, stage 1: wrong: .*not what stage 1/),
      expect.stringMatching(/^replay, results: wrong: y: not what the model gives$/),
    ])
    const last = await results((first, outputs) => (first === 1 ? off(1e-6)(outputs) : outputs))
    expect(last[1]).toMatch(/not what the model gives, by stage 2/)
  })

  it('allows a GPU its rounding, and no more', async () => {
    expect(await results((_, outputs) => off(1e-6)(outputs), 'webgpu')).toEqual([
      'replay, stage 1: ok: 0 chunks equal bit for bit; 1 chunk not comparable by hash: a GPU rounds otherwise',
      'replay, results: ok: 1 tensor within 0.0001 of what the model gives: a GPU rounds otherwise',
    ])
    expect((await results((_, outputs) => off(1e-3)(outputs), 'webgpu'))[1]).toMatch(/wrong: y: 2\.0e-3 away/)
  })
})
