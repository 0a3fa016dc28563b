import { beforeAll, describe, expect, it } from 'vitest'
import { fromBase64, toBase64 } from '../../protocol/base64.ts'
import type { Bytes } from '../../protocol/bytes.ts'
import { proofBytes } from '../../protocol/custody.ts'
import { decodeEvidence, encodeEvidence } from '../../protocol/evidence.ts'
import { createIdentity, type Identity } from '../../protocol/keys.ts'
import { readReceiptFile, type ReceiptFileJson } from '../../protocol/receipt-file.ts'
import { receiptHash, signReceipt, type Receipt } from '../../protocol/receipt.ts'
import { signTicket, type Ticket } from '../../protocol/ticket.ts'
import { answerProofs, int64Bytes, makeReceiptFile, signSteps, type Sent } from '../../testing/receipt-files.ts'
import { makeTicket } from '../../testing/tickets.ts'
import { isProved, verifyReceipt } from './verify.ts'

const [server, other, requester, ...stages] = await Promise.all(Array.from({ length: 7 }, () => createIdentity()))
const parties = [requester as Identity, ...stages]
const pipeline = stages.slice(0, 3)
const prompt = Array.from({ length: 45 }, (_, i) => i * 3)
const answer = Array.from({ length: 40 }, (_, i) => 200 + i)
const runs = [15, 15, 15]
const sampling = { temperature: 0, topP: 1, seed: 0 }
const trust = { keys: [(server as Identity).publicKey], why: 'the test' }

let ticket: Ticket
let proofs: Bytes[]
let good: ReceiptFileJson

beforeAll(async () => {
  ticket = await makeTicket(server as Identity, requester as Identity, pipeline, { sampling })
  proofs = await answerProofs(ticket, parties, runs, prompt, answer)
  good = await fileOf([ticket], proofs)
})

const fileOf = (tickets: readonly Ticket[], proofs: readonly Bytes[]) =>
  makeReceiptFile({ server: server as Identity, parties, tickets, proofs, prompt: { ids: prompt }, answer: { ids: answer } })

const verify = (json: ReceiptFileJson, by = trust) => verifyReceipt(readReceiptFile(JSON.stringify(json)), by)

/** The names of the checks that did not come out right, and what they say. */
async function wrongs(json: ReceiptFileJson, by = trust): Promise<Record<string, string>> {
  const { checks } = await verify(json, by)
  return Object.fromEntries(checks.filter(({ verdict }) => verdict !== 'ok').map(({ name, says }) => [name, says]))
}

/** The good file with other evidence under the same receipts. */
function withProofs(change: (proofs: Bytes[]) => readonly Bytes[]): ReceiptFileJson {
  const evidence = decodeEvidence(fromBase64(good.evidence))
  const changed = encodeEvidence({ tickets: evidence.tickets, proofs: change([...evidence.proofs]) }) as Bytes
  return { ...good, evidence: toBase64(changed) }
}

describe('[RC] a receipt', () => {
  it('of an answer that went as it should is proved', async () => {
    const verified = await verify(good)
    expect(await wrongs(good)).toEqual({})
    expect(isProved(verified)).toBe(true)
    expect(verified.proven).toHaveLength(proofs.length)
  })

  it('of one stage alone, and of a model without a decoder, is proved', async () => {
    const alone = await makeTicket(server as Identity, requester as Identity, [stages[0] as Identity], { sampling })
    const aloneFile = await fileOf([alone], await answerProofs(alone, parties, runs, prompt, answer))
    expect(await wrongs(aloneFile)).toEqual({})
    const tensors = await makeTicket(server as Identity, requester as Identity, pipeline)
    // A shape table of one axis, then four bytes.
    const packed = Uint8Array.of(1, 4, 0, 0, 0, 9, 8, 7, 6)
    const step = [{ position: 0, rows: 1, bytes: packed.subarray(5) }]
    const signed: Bytes[] = []
    for (let link = 0; link <= 4; link++) signed.push(...(await signSteps(tensors, parties, link, step)))
    const content = { packed, tensors: 1 }
    const file = await makeReceiptFile({
      server: server as Identity,
      parties,
      tickets: [tensors],
      proofs: signed,
      prompt: content,
      answer: content,
    })
    expect(await wrongs(file)).toEqual({})
    expect(await wrongs({ ...file, answer: good.answer })).toMatchObject({ kind: expect.stringContaining('tensors') })
  })

  it('[HO5] of an answer that was stopped, its last token already on its way round, is proved; one that lacks rows is not', async () => {
    const ids = [...prompt, ...answer]
    const at = (position: number, rows: number) => ({ position, rows, bytes: int64Bytes(ids.slice(position, position + rows)) })
    const answered = answer.map((_, i) => at(45 + i, 1))
    const fed = (rows: number) => [at(0, 15), at(15, 15), at(30, 15), ...answered.slice(0, rows - 45)]
    const stopped = async (ring: number, inner: number) => {
      const links = [fed(ring), fed(ring), fed(inner), answered, fed(45), answered]
      const signed: Bytes[] = []
      for (const [link, sent] of links.entries()) signed.push(...(await signSteps(ticket, parties, link, sent, link === 0 ? [45] : [])))
      return wrongs(await fileOf([ticket], signed))
    }
    expect(await stopped(85, 84)).toEqual({})
    expect(await stopped(85, 83)).toEqual({ 'rows of every link': 'link 2 (stage 2 to stage 3): row 83 missing' })
    const nothing = { server: server as Identity, parties, tickets: [ticket], proofs: [], prompt: { ids: prompt }, answer: { ids: [] } }
    expect(await wrongs(await makeReceiptFile(nothing))).toEqual({})
  })

  it('with any byte of any proof changed is not, and says which', { timeout: 300_000 }, async () => {
    for (const at of [0, 16, 20, 21, 25, 29, 31, 35, 67, 100, 131, 194]) {
      const broken = await wrongs(
        withProofs((all) => all.map((proof, i) => (i === 5 ? proof.map((b, j) => (j === at ? b ^ 1 : b)) : proof))),
      )
      expect(broken["chunks' signatures"]).toMatch(/^proof 6: /)
      expect(broken["chunks' root"]).toContain('one was changed')
    }
  })

  it('[CU6] names a proof that its sender or its receiver did not sign', async () => {
    const at = (i: number, j: number) =>
      withProofs((all) => all.map((proof, n) => (n === i ? proof.map((b, m) => (m === j ? b ^ 1 : b)) : proof)))
    expect((await wrongs(at(0, 70)))["chunks' signatures"]).toContain(
      `link 0 (ring, stage 3 to stage 1), chunk 0 (rows 0 to 29): not signed by its sender, stage 3 (${stages[2]?.id.slice(0, 8)})`,
    )
    expect((await wrongs(at(0, 190)))["chunks' signatures"]).toContain(`not signed by its receiver, stage 1 (${stages[0]?.id.slice(0, 8)})`)
  })

  it('with a proof missing is not, wherever it stood', { timeout: 300_000 }, async () => {
    for (let missing = 0; missing < proofs.length; missing++) {
      const broken = await wrongs(withProofs((all) => all.filter((_, i) => i !== missing)))
      expect(`${broken["chunks' order"]} ${broken['rows of every link']}`).toMatch(/missing/)
      expect(broken["chunks' root"]).toContain('left out')
    }
  })

  it('with proofs in another order, or one twice, is not', async () => {
    expect(await wrongs(withProofs(([a, b, ...rest]) => [b as Bytes, a as Bytes, ...rest]))).toMatchObject({
      "chunks' order": expect.stringContaining('chunk 0 was due'),
      "chunks' root": expect.any(String),
    })
    expect(await wrongs(withProofs((all) => [...all, all.at(-1) as Bytes]))).toMatchObject({
      "chunks' order": expect.stringContaining('stands after'),
    })
  })

  it('for another prompt or another answer is not', async () => {
    const otherPrompt = await wrongs({ ...good, prompt: { ids: prompt.map((id, i) => (i === 7 ? id + 1 : id)) } })
    expect(Object.keys(otherPrompt)).toEqual(["prompt's hash", 'what was carried'])
    expect(otherPrompt['what was carried']).toContain('link 0 (ring, stage 3 to stage 1), chunk 0 (rows 0 to 29): carried something else')
    const otherAnswer = await wrongs({ ...good, answer: { ids: answer.map((id, i) => (i === 35 ? id + 1 : id)) } })
    expect(Object.keys(otherAnswer)).toEqual(["answer's hash", "answer's signature", 'what was carried'])
    expect(Object.keys(await wrongs({ ...good, answer: { ids: answer.slice(0, -1) } }))).toContain('rows of every link')
    expect(Object.keys(await wrongs({ ...good, answerSignature: '00'.repeat(64) }))).toEqual(["answer's hash", "answer's signature"])
  })

  it("under another server's key is not, nor under one that nobody vouches for", async () => {
    expect(await wrongs(good, { keys: [(other as Identity).publicKey], why: 'another' })).toMatchObject({
      "server's key": expect.stringContaining('which is not the key of another'),
      tickets: expect.stringContaining('not one this peer works for'),
    })
    expect(await wrongs(good, { keys: [], why: 'the server did not answer' })).toEqual({
      "server's key": expect.stringContaining('nobody vouches'),
    })
  })

  it('with any field changed is not what its server signed', async () => {
    const [provisional, settled] = good.receipts as [Receipt, Receipt]
    const changes: Partial<Receipt>[] = [
      { issuedAt: 2 },
      { audits: { done: 5, of: 9 } },
      { custody: { checked: proofs.length, failed: 1 } },
      { status: 'corrected' },
      { chunksRoot: settled.answerHash },
    ]
    for (const change of changes) {
      expect((await wrongs({ ...good, receipts: [provisional, { ...settled, ...change }] }))["receipts' signatures"]).toBe(
        'receipt 2 (settled) is not what its server signed'.replace('settled', change.status ?? 'settled'),
      )
    }
  })

  it('[RC4] whose chain was broken is not', async () => {
    const [provisional, settled] = good.receipts as [Receipt, Receipt]
    expect((await wrongs({ ...good, receipts: [settled] })).chain).toContain('supersedes another')
    expect((await wrongs({ ...good, receipts: [settled, provisional] })).chain).toContain('supersedes another')
    const { signature: _, ...body } = settled
    const strange = await signReceipt({ ...body, promptHash: body.answerHash }, (server as Identity).privateKey)
    expect((await wrongs({ ...good, receipts: [provisional, strange] })).chain).toContain('another promptHash')
  })

  it('[RC4] that corrects another session is proved by its own evidence, as a correction only', async () => {
    const first = (await fileOf([await makeTicket(server as Identity, requester as Identity, pipeline, { sampling })], []))
      .receipts[0] as Receipt
    const [body] = good.receipts as [Receipt]
    const signed = async (status: Receipt['status']) => {
      const { signature: _, ...said } = body
      const correction = { ...said, request: first.request, status, supersedes: await receiptHash(first) }
      return signReceipt(correction, (server as Identity).privateKey)
    }
    expect(await wrongs({ ...good, receipts: [first, await signed('corrected')] })).toEqual({})
    expect(await wrongs({ ...good, receipts: [first, await signed('settled')] })).toEqual({
      chain: expect.stringContaining('no correction'),
    })
  })

  it('[TK2] whose ticket was made by somebody else, or for others, is not', async () => {
    const { signature: _, ...body } = ticket
    const foreign = await signTicket({ ...body, serverKey: (other as Identity).publicKey }, (other as Identity).privateKey)
    expect((await wrongs(await fileOf([foreign], proofs))).tickets).toContain('not one this peer works for')
    const file = await fileOf([ticket], proofs)
    const [provisional, settled] = file.receipts as [Receipt, Receipt]
    const { signature: __, ...receipt } = settled
    const stagesOf = [...receipt.stages].reverse()
    const strange = await signReceipt({ ...receipt, stages: stagesOf }, (server as Identity).privateKey)
    expect((await wrongs({ ...file, receipts: [provisional, strange] })).tickets).toContain('stages are not those of the last ticket')
  })

  it('names a host that passed on another prompt, though it signed both', async () => {
    const lied = await signSteps(ticket, parties, 0, steps([...prompt.slice(0, 44), 1], answer), [45])
    const ring = proofs.filter((proof) => proof[20] !== 0)
    expect(await wrongs(await fileOf([ticket], [...lied, ...ring]))).toEqual({
      'what was carried': expect.stringContaining('link 0 (ring, stage 3 to stage 1), chunk 1 (rows 30 to 44)'),
    })
  })

  it('[FR6] names a stage that ran other rows together', async () => {
    const regrouped = steps(prompt, answer).flatMap(({ position, rows, bytes }) =>
      position === 30
        ? [
            { position, rows: 1, bytes },
            { position: 31, rows: 14, bytes },
          ]
        : [{ position, rows, bytes }],
    )
    const link1 = await signSteps(ticket, parties, 1, regrouped)
    const others = (keep: (link: number) => boolean) => proofs.filter((proof) => keep(proof[20] as number))
    const file = await fileOf([ticket], [...others((link) => link < 1), ...link1, ...others((link) => link > 1)])
    expect(await wrongs(file)).toEqual({
      runs: expect.stringContaining('link 1 (stage 1 to stage 2), chunk 0 (rows 0 to 30): row 30 ran alone'),
    })
  })
})

/** The ring's steps: the prompt's runs, then each token but the last. */
function steps(prompt: readonly number[], answer: readonly number[]): Sent[] {
  const ids = [...prompt, ...answer]
  const at = (position: number, rows: number) => ({ position, rows, bytes: int64Bytes(ids.slice(position, position + rows)) })
  return [at(0, 15), at(15, 15), at(30, 15), ...answer.slice(0, -1).map((_, i) => at(prompt.length + i, 1))]
}

describe('[RR] after a reroute', () => {
  /** Stage 2 is replaced after row 60: its replacement is sent all, everybody else what follows. */
  async function rerouted(): Promise<{ tickets: Ticket[]; proofs: Bytes[] }> {
    const { signature: _, ...body } = ticket
    const replacement = stages[3] as Identity
    const next = await signTicket(
      {
        ...body,
        generation: 1,
        stages: ticket.stages.map((stage, i) => (i === 1 ? { ...stage, peer: replacement.id, key: replacement.publicKey } : stage)),
      },
      (server as Identity).privateKey,
    )
    const ring = steps(prompt, answer)
    const inner = (link: number) => ring.map((step) => ({ ...step, bytes: int64Bytes([link, step.position]) }))
    const answered = answer.map((id, i) => ({ position: 45 + i, rows: 1, bytes: int64Bytes([id]) }))
    const asked = ring.slice(0, 3)
    const until = (all: readonly Sent[], end: number) => all.filter(({ position }) => position < end)
    const from = (all: readonly Sent[], start: number) => all.filter(({ position }) => position >= start)
    const all: Bytes[] = []
    const put = async (of: Ticket, link: number, sent: readonly Sent[], closedAt: number[] = []) =>
      all.push(...(await signSteps(of, parties, link, sent, closedAt)))
    await put(ticket, 0, until(ring, 60), [45])
    await put(ticket, 1, until(inner(1), 58))
    await put(ticket, 2, until(inner(2), 57))
    await put(ticket, 3, until(answered, 58))
    await put(ticket, 4, asked)
    await put(ticket, 5, until(answered, 58))
    await put(next, 0, from(ring, 60))
    await put(next, 1, inner(1))
    await put(next, 2, from(inner(2), 57))
    await put(next, 3, from(answered, 58), [84])
    await put(next, 5, from(answered, 58), [84])
    return { tickets: [ticket, next], proofs: all }
  }

  it('the generations together prove the answer', async () => {
    const { tickets, proofs } = await rerouted()
    expect(await wrongs(await fileOf(tickets, proofs))).toEqual({})
  })

  it('a chunk that the last generation lacks is named', async () => {
    const { tickets, proofs } = await rerouted()
    const first = proofs.findIndex((proof) => proof[16] === 1 && proof[20] === 1)
    const broken = await wrongs(await fileOf(tickets, proofs.toSpliced(first, 1)))
    expect(broken["chunks' order"]).toContain('generation 1, link 1 (stage 1 to stage 2), chunk 1')
    expect(broken['rows of every link']).toContain('rows 58 to 83 missing')
  })

  it('what an earlier generation lacks is needed only where no later one has it', async () => {
    const { tickets, proofs } = await rerouted()
    const without = async (link: number) =>
      wrongs(
        await fileOf(
          tickets,
          proofs.toSpliced(
            proofs.findLastIndex((proof) => proof[16] === 0 && proof[20] === link),
            1,
          ),
        ),
      )
    expect(await without(1)).toEqual({})
    expect(await without(2)).toEqual({
      'rows of every link': expect.stringContaining('generation 1, link 2 (stage 2 to stage 3): rows 30 to 56 missing'),
    })
  })

  it('a ticket that is missing is named', async () => {
    const { tickets, proofs } = await rerouted()
    expect((await wrongs(await fileOf(tickets.slice(1), proofs)))["chunks' signatures"]).toContain(
      'of generation 0, for which there is no ticket',
    )
  })
})

describe('a receipt file', () => {
  it.each([
    ['no JSON', '{'],
    ['another shape', '{"v":1}'],
    ['an evidence that is no base64', JSON.stringify({ evidence: '?' })],
  ])('of %s is refused', (_, text) => expect(() => readReceiptFile(text)).toThrow(/^Receipt file refused/))

  it('whose evidence is cut short is refused', () => {
    const cut = toBase64(fromBase64(good.evidence).subarray(0, -proofBytes + 1))
    expect(() => readReceiptFile(JSON.stringify({ ...good, evidence: cut }))).toThrow(/^Evidence refused/)
    expect(() => readReceiptFile(JSON.stringify({ ...good, evidence: 'a b=' }))).toThrow(/not base64/)
  })
})
