import { beforeAll, describe, expect, it } from 'vitest'
import { toHex } from '../protocol/bytes.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import type { Manifest } from '../protocol/manifest.ts'
import { checkReceipt, merkleRoot, receiptHash, type Receipt } from '../protocol/receipt.ts'
import { decodeEvidence } from '../protocol/evidence.ts'
import { reports } from '../testing/custody.ts'
import { plainManifest } from '../testing/swarms.ts'
import { makeTicket } from '../testing/tickets.ts'
import { CustodyLedger } from './custody-ledger.ts'
import { expectedRows, provisional, rowsRun, settled, type Done } from './settlement.ts'
import type { Store } from './store.ts'
import type { EndedSession } from './trust-port.ts'
import { sampleReceipt } from '../testing/sample-receipts.ts'
import type { Ticket } from '../protocol/ticket.ts'
import { trustEverybody } from './trust-port.ts'

const chat = plainManifest([1, 1], { layers: 2, kvHeads: 1, headDim: 1, vocab: 8, context: 256, eos: [0] })
const picture = plainManifest([1, 1])
let server: Identity
let requester: Identity
let stages: Identity[]

beforeAll(async () => {
  ;[server, requester, ...stages] = (await Promise.all(Array.from({ length: 4 }, () => createIdentity()))) as [
    Identity,
    Identity,
    ...Identity[],
  ]
})

const sampling = { temperature: 0, topP: 1, seed: 0 }

async function ended(
  over: readonly Identity[],
  prompt: readonly number[],
  answer: number,
  change: Partial<Done> = {},
  decoder: { sampling?: typeof sampling } = { sampling },
) {
  const ticket = await makeTicket(server, requester, over, decoder)
  const ledger = new CustodyLedger(ticket)
  for (const { proof, from } of await reports(ticket, [requester, ...over], prompt, answer)) await ledger.add(proof, from)
  const done: Done = {
    t: 'done',
    session: ticket.session,
    finish: 'stop',
    promptPositions: prompt.reduce((sum, rows) => sum + rows, 0),
    answerPositions: answer,
    promptHash: 'a'.repeat(64),
    answerHash: 'b'.repeat(64),
    ...change,
  }
  return { ticket, ledger, done, result: (manifest: Manifest) => ledger.result(expectedRows(ticket, manifest, done)) }
}

describe('what each link owes', () => {
  it('[LN3] is the prompt on the prompt’s link, the answer on its own, and all that was fed on the others', async () => {
    const { ticket, done, result } = await ended(stages, [16, 8], 5)
    expect(expectedRows(ticket, chat, done)).toEqual(
      new Map([
        [0, { from: 0, to: 28 }],
        [1, { from: 0, to: 28 }],
        [2, { from: 24, to: 29 }],
        [3, { from: 0, to: 24 }],
        [4, { from: 24, to: 29 }],
      ]),
    )
    expect(result(chat)).toMatchObject({ failed: 0 })
  })

  it('is one row everywhere for a model without a decoder', async () => {
    const { result } = await ended(stages, [1], 1, {}, {})
    expect(result(picture)).toMatchObject({ checked: 4, failed: 0 })
  })

  it('is nobody’s fault when the answer was broken off', async () => {
    for (const finish of ['aborted', 'error'] as const) {
      const { ticket, done, result } = await ended(stages, [16], 5, { finish, answerPositions: 9 })
      expect(expectedRows(ticket, chat, done)).toBeUndefined()
      expect(result(chat)).toMatchObject({ failed: 0 })
    }
  })

  it('is not what the last stage says beyond what is proven', async () => {
    const { result } = await ended(stages, [16], 5, { answerPositions: 100 })
    expect(result(chat).failed).toBeGreaterThan(0)
  })
})

describe('work', () => {
  it('is what was proven, whatever the last stage claims', async () => {
    const { ledger } = await ended(stages, [16], 5, { finish: 'aborted', promptPositions: 100_000, answerPositions: 100_000 })
    expect([0, 1].map((i) => rowsRun(ledger, i))).toEqual([20, 20])
  })

  it('[LN4] of a stage alone is what it fed itself', async () => {
    const { ledger } = await ended(stages.slice(0, 1), [16], 5)
    expect(rowsRun(ledger, 0)).toBe(20)
    const nothing = new CustodyLedger(ledger.ticket)
    expect(rowsRun(nothing, 0)).toBe(0)
  })
})

describe('a first receipt', () => {
  const nothingYet = { receipt: () => Promise.resolve(undefined) } as unknown as Store
  const ports = {
    identity: undefined as unknown as Identity,
    store: nothingYet,
    trust: trustEverybody,
    gaveFor: () => undefined,
    now: () => 1_700_000_000_000,
  }

  async function first(change: Partial<EndedSession> = {}, store = nothingYet) {
    const { ticket, ledger, done, result } = await ended(stages, [16], 5)
    const { id: peer, publicKey: key } = requester
    const asked = { peer, key, network: undefined, id: 1, revision: ticket.revision, maxPositions: 256, sampling }
    const { session } = ticket
    const all = { session, request: session, asked, manifest: chat, ledger, custody: result(chat), done, epoch: 1, ...change }
    return { ...(await provisional(all, { ...ports, identity: server, store })), ticket, ledger, done }
  }

  it('[RC1] [RC3] says what was proven, signed by the server, with what proves it', async () => {
    const { receipt, writes, ticket, ledger, done } = await first()
    expect(writes.map((w) => w.t)).toEqual(['receipt', 'evidence', 'work', 'work'])
    expect(receipt).toMatchObject({
      request: ticket.session,
      session: ticket.session,
      revision: ticket.revision,
      promptHash: done.promptHash,
      answerHash: done.answerHash,
      custody: { checked: ledger.proofs().length, failed: 0 },
      chunksRoot: toHex(await merkleRoot(ledger.proofs())),
      status: 'provisional',
      supersedes: null,
      issuedAt: 1_700_000_000_000,
      serverKey: server.publicKey,
    })
    expect(receipt.stages.map((s) => [s.peer, s.proven])).toEqual(stages.map((s) => [s.id, true]))
    expect(await checkReceipt(receipt)).toBe(true)
    expect(await checkReceipt({ ...receipt, custody: { checked: 99, failed: 0 } })).toBe(false)
    const evidence = writes.flatMap((w) => (w.t === 'evidence' ? [decodeEvidence(w.evidence)] : []))
    expect(evidence).toEqual([{ tickets: [ticket], proofs: ledger.proofs() }])
  })

  it('[RC4] of a correction takes the place of the last one of what it corrects', async () => {
    const wrong = sampleReceipt(3, { status: 'settled' })
    const store = { receipt: () => Promise.resolve(wrong) } as unknown as Store
    const { receipt } = await first({ request: wrong.request }, store)
    expect(receipt).toMatchObject({ request: wrong.request, status: 'corrected', supersedes: await receiptHash(wrong) })
  })

  it('credits those as well who left in the middle, with what they are proven to have run', async () => {
    const [ada, bob, cyd] = [...stages, await createIdentity()] as [Identity, Identity, Identity]
    const ticket = await makeTicket(server, requester, [ada, bob], { sampling })
    const { signature: _, ...unsigned } = ticket
    const later = { ...(await makeTicket(server, requester, [ada, cyd], { sampling })), session: unsigned.session, generation: 1 }
    const ledger = new CustodyLedger(ticket)
    ledger.turn(later)
    const add = async (of: Ticket, runs: readonly number[], answer: number) => {
      for (const { proof, from } of await reports(of, [requester, ada, bob, cyd], runs, answer)) await ledger.add(proof, from)
    }
    await add(ticket, [16], 3)
    await add(later, [16], 9)
    const { writes } = await first({ ledger, custody: { checked: 9, failed: 0, reasons: [], named: [] } })
    const rows = writes.flatMap((w) => (w.t === 'work' ? [[w.entry.peer, w.entry.rows]] : []))
    expect(rows).toEqual([
      [ada.id, 24],
      [cyd.id, 24],
      [bob.id, 18],
    ])
  })

  it('credits nobody where the custody does not hold', async () => {
    const { writes } = await first({ custody: { checked: 3, failed: 1, reasons: [], named: [] } })
    expect(writes.map((w) => w.t)).toEqual(['receipt', 'evidence'])
  })

  it('[RC4] has one settled successor', async () => {
    const { receipt } = await first()
    const after = (await settled(receipt, { done: 2, of: 9 }, server, 1_700_000_001_000)) as Receipt
    expect(after).toMatchObject({
      status: 'settled',
      audits: { done: 2, of: 9 },
      supersedes: await receiptHash(receipt),
      issuedAt: 1_700_000_001_000,
    })
    expect(await checkReceipt(after)).toBe(true)
    expect(await settled(after, { done: 9, of: 9 }, server, 1_700_000_002_000)).toBeUndefined()
  })
})
