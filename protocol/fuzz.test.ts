/**
 * Damaged and random messages through every decoder of what travels: each is taken as it stands or refused with its typed
 * error, nothing else. MANYHANDS_FUZZ sets how many; frames and custody chunks have their own tests.
 */
import { describe, expect, it } from 'vitest'
import * as v from 'valibot'
import { fuzzRuns, mutate, mutateJson } from '../testing/fuzz.ts'
import { toyManifest } from '../testing/toy-engine.ts'
import { makeShadowTicket, makeTicket } from '../testing/tickets.ts'
import { utf8 } from './bytes.ts'
import { clientMessageSchema, type ClientMessage } from './client-messages.ts'
import { ManyhandsError, type ErrorCode } from './errors.ts'
import { createIdentity, type Identity } from './keys.ts'
import type { Hash } from './ids.ts'
import { maxSocketBytes } from './limits.ts'
import { decodeLinkMessage, type LinkMessage } from './link-messages.ts'
import { parseManifest } from './manifest.ts'
import { checkReceipt, receiptSchema, signReceipt } from './receipt.ts'
import { parseMessage, serverMessageSchema, type ServerMessage } from './server-messages.ts'
import { dtypeSize, elementCount, packTensors, unpackTensors, type TensorSpec, type TensorValue } from './tensors.ts'
import { checkTicket } from './ticket.ts'

const [server, requester, ...stages] = await Promise.all(Array.from({ length: 5 }, () => createIdentity()))
if (!server || !requester) throw new Error('no identities')
const ticket = await makeTicket(server, requester, stages)
const hash = 'ab'.repeat(32) as Hash
const { session, revision } = ticket
const receipt = await signReceipt(
  {
    v: 1,
    request: session,
    session,
    revision,
    promptHash: hash,
    answerHash: hash,
    stages: ticket.stages.map((stage) => ({ ...stage, proven: false })),
    chunksRoot: hash,
    custody: { checked: 10, failed: 0 },
    audits: { done: 0, of: 0 },
    status: 'settled',
    supersedes: null,
    issuedAt: 1,
    serverKey: server.publicKey,
  },
  server.privateKey,
)
const error = { code: 'busy', message: 'Later.', retryAfterMs: 10 } as const
const signature = 'cd'.repeat(64)
const lease = 'ef'.repeat(16)
const shadowTicket = await makeShadowTicket(server, stages[0] as Identity, stages[1] as Identity, ticket)

const linkMessages: readonly LinkMessage[] = [
  { t: 'open', ticket },
  { t: 'start', session, promptLength: 9, maxTokens: 10, answered: 0 },
  { t: 'resume', session, generation: 1, rows: 12 },
  { t: 'feed', ticket: shadowTicket },
  { t: 'fed', session, rows: 5 },
  { t: 'fetch', ticket: shadowTicket, link: 1, position: 3, rows: 4 },
  { t: 'end', session, generation: 0, finish: 'error', signature, error },
  { t: 'gap', session, link: 1, generation: 0, held: 5 },
  { t: 'fault', session, error },
]
const clientMessages: readonly ClientMessage[] = [
  { t: 'hello', v: 1, key: server.publicKey, nonce: lease, origin: 'node', expiresAt: 1, agent: 'test', signature },
  { t: 'offer', models: [revision], memoryBytes: 1, power: 1, backends: ['wasm', 'webgpu'] },
  { t: 'renew', lease, stats: { steps: 1, rows: 2, busyMs: 0.5, sentBytes: 1, receivedBytes: 2 } },
  { t: 'done', session, finish: 'stop', promptPositions: 1, answerPositions: 2, promptHash: hash, answerHash: hash },
  { t: 'fault', session, error },
]
const serverMessages: readonly ServerMessage[] = [
  { t: 'route', id: 1, ticket },
  { t: 'receipt', receipt },
  { t: 'session', ticket },
  { t: 'error', id: 1, error },
]

/** Seeds as JSON, and how a message of that kind is read from its bytes. */
const kinds: readonly [name: string, seeds: readonly unknown[], read: (bytes: Uint8Array) => unknown, code: ErrorCode][] = [
  ['messages of a link', linkMessages, (bytes) => decodeLinkMessage(Uint8Array.of(2, ...bytes)), 'bad-message'],
  [
    'messages to the server',
    clientMessages,
    (bytes) => parseMessage(clientMessageSchema, Buffer.from(bytes).toString(), maxSocketBytes),
    'bad-message',
  ],
  [
    'messages of the server',
    serverMessages,
    (bytes) => parseMessage(serverMessageSchema, Buffer.from(bytes).toString(), maxSocketBytes),
    'bad-message',
  ],
  ['manifests', [toyManifest(1), toyManifest(3)], (bytes) => parseManifest(jsonOf(bytes)), 'bad-model'],
]

/** As `JSON.parse`, with nothing for what is none: a manifest's file is read as JSON by its owner. */
function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined
  }
}

describe('fuzzed', () => {
  it.each(kinds)('%s are taken or refused', { timeout: 60_000 + fuzzRuns }, (_, seeds, read, code) => {
    const texts = seeds.map((seed) => utf8(JSON.stringify(seed)))
    const outcomes = { taken: 0, refused: 0 }
    for (let i = 0; i < fuzzRuns; i++) {
      // Bytes, then places in the value.
      const message =
        i % 2 === 0
          ? mutate(texts, i >> 1, Number.POSITIVE_INFINITY)
          : utf8(JSON.stringify(mutateJson(seeds[(i >> 1) % seeds.length], i)) ?? '')
      try {
        read(message)
        outcomes.taken++
      } catch (thrown) {
        if (!(thrown instanceof ManyhandsError && thrown.code === code)) throw new Error(`run ${i} broke the decoder`, { cause: thrown })
        outcomes.refused++
      }
    }
    expect(outcomes.taken).toBeGreaterThan(fuzzRuns / 50)
    expect(outcomes.refused).toBeGreaterThan(fuzzRuns / 5)
  })

  it('packed tensors are taken only where every byte is accounted for', { timeout: 60_000 + fuzzRuns }, () => {
    const specs: TensorSpec[] = [
      { name: 'a', dtype: 'float32', shape: ['batch', 'rows', 4] },
      { name: 'b', dtype: 'int64', shape: [1, 'rows'] },
      { name: 'c', dtype: 'bool', shape: [] },
    ]
    const value = (dtype: TensorValue['dtype'], dims: readonly number[]) => ({
      dtype,
      dims,
      bytes: new Uint8Array(elementCount(dims) * dtypeSize[dtype]),
    })
    const seeds = [0, 1, 5].map((rows) => packTensors([value('float32', [1, rows, 4]), value('int64', [1, rows]), value('bool', [])]))
    const outcomes = { taken: 0, refused: 0 }
    for (let i = 0; i < fuzzRuns; i++) {
      const packed = mutate(seeds, i, 40)
      try {
        const values = unpackTensors(packed, specs)
        outcomes.taken++
        for (const { dtype, dims, bytes } of values)
          if (bytes.length !== elementCount(dims) * dtypeSize[dtype] || bytes.buffer !== packed.buffer)
            throw new Error(`run ${i}: [${dims.join()}]`)
        if (packTensors(values).length !== packed.length) throw new Error(`run ${i} left bytes over`)
      } catch (thrown) {
        if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-message'))
          throw new Error(`run ${i} broke the decoder`, { cause: thrown })
        outcomes.refused++
      }
    }
    expect(outcomes.taken).toBeGreaterThan(fuzzRuns / 50)
    expect(outcomes.refused).toBeGreaterThan(fuzzRuns / 5)
  })

  it('[TK2] tickets and [RC1] receipts count only as they were signed', { timeout: 60_000 + fuzzRuns }, async () => {
    const sameTicket = JSON.stringify(ticket)
    const sameReceipt = JSON.stringify(receipt)
    for (let i = 0; i < fuzzRuns; i++) {
      const changed = mutateJson(ticket, i)
      const passed = await checkTicket(changed, [server.publicKey], ticket.issuedAt).catch((thrown: unknown) => {
        if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-ticket'))
          throw new Error(`run ${i} broke the check`, { cause: thrown })
      })
      if (passed && JSON.stringify(passed) !== sameTicket) throw new Error(`run ${i}: a changed ticket passed`)
      const parsed = v.safeParse(receiptSchema, mutateJson(receipt, i))
      if (parsed.success && (await checkReceipt(parsed.output)) && JSON.stringify(parsed.output) !== sameReceipt)
        throw new Error(`run ${i}: a changed receipt passed`)
    }
  })
})
