import { describe, expect, it, vi } from 'vitest'
import { utf8 } from '../protocol/bytes.ts'
import { encodeStep, type Step } from '../protocol/frames.ts'
import type { SessionId } from '../protocol/ids.ts'
import { createIdentity, type Identity } from '../protocol/keys.ts'
import { fragmentBytes, highWaterBytes, linkLostMs, maxBeforeAuth } from '../protocol/limits.ts'
import { encodeLinkMessage, type LinkMessage } from '../protocol/link-messages.ts'
import { channelPair, type MemoryChannel } from '../testing/channel-pair.ts'
import { deferred } from './deferred.ts'
import { fingerprintOf, PeerLink, type Fingerprints } from './peer-link.ts'

const nonce = '0f'.repeat(16)
const session = 'ab'.repeat(16) as SessionId
const prints: Fingerprints = { local: 'sha-256 aa:aa', remote: 'sha-256 bb:bb' }
const mirrored: Fingerprints = { local: prints.remote, remote: prints.local }

function end(channel: MemoryChannel, identity: Identity, remote: Identity, role: 'dialer' | 'acceptor') {
  const ready = deferred<void>()
  const closed = deferred<Error>()
  const steps: Step[] = []
  const messages: LinkMessage[] = []
  const got = deferred<void>()
  const link = new PeerLink(
    channel,
    identity,
    { remote: remote.id, role, nonce },
    {
      ready: () => ready.resolve(),
      step: (step) => void steps.push(step),
      message: (message) => {
        messages.push(message)
        got.resolve()
      },
      custody: () => undefined,
      closed: (reason) => closed.resolve(reason),
    },
  )
  return { link, ready: ready.promise, closed: closed.promise, steps, messages, got: got.promise }
}

async function pair(prepare: (a: MemoryChannel, b: MemoryChannel) => void = () => undefined) {
  const [alice, bob] = await Promise.all([createIdentity(), createIdentity()])
  const [a, b] = channelPair()
  prepare(a, b)
  const dialer = end(a, alice, bob, 'dialer')
  const acceptor = end(b, bob, alice, 'acceptor')
  return { alice, bob, a, b, dialer, acceptor }
}

const step: Step = {
  session,
  link: 1,
  generation: 0,
  seq: 0,
  position: 0,
  rows: 1,
  emitFrom: 0,
  computeMicros: 0,
  payload: new Uint8Array(100),
}

describe('[LK1] the handshake', () => {
  it('lets both ends in when each signs for the same connection', async () => {
    const { dialer, acceptor, bob } = await pair()
    dialer.link.bind(prints)
    acceptor.link.bind(mirrored)
    dialer.link.sendStep(step)
    dialer.link.sendMessage({ t: 'stop', session })
    await Promise.all([dialer.ready, acceptor.ready, acceptor.got])
    expect(dialer.link.remoteKey).toBe(bob.publicKey)
    expect(acceptor.steps).toEqual([step])
    dialer.link.close(new Error('done') as never)
    await acceptor.closed
  })

  it('waits for a channel that delivers before it is open: nothing is sent on it before', async () => {
    const { a, b, dialer, acceptor } = await pair((_, late) => (late.opensLate = true))
    dialer.link.bind(prints)
    acceptor.link.bind(mirrored)
    acceptor.link.sendMessage({ t: 'stop', session })
    const said = deferred<void>()
    a.onSent = () => said.resolve()
    await said.promise
    // As long as checking a signature takes, several times over.
    for (let i = 0; i < 20; i++) await createIdentity()
    expect([acceptor.link.ready, b.sent]).toEqual([false, []])
    b.open()
    await Promise.all([dialer.ready, acceptor.ready, dialer.got])
    expect(dialer.messages).toEqual([{ t: 'stop', session }])
  })

  it('fails when a broker sits in the middle, for then the fingerprints differ', async () => {
    const { dialer, acceptor } = await pair()
    dialer.link.bind(prints)
    acceptor.link.bind({ ...mirrored, remote: 'sha-256 cc:cc' })
    expect(await acceptor.closed).toMatchObject({ code: 'bad-signature' })
    await dialer.closed
  })

  it('fails for a peer that has another key than the id it was dialled by', async () => {
    const [alice, bob, eve] = await Promise.all([createIdentity(), createIdentity(), createIdentity()])
    const [a, b] = channelPair()
    const dialer = end(a, alice, bob, 'dialer')
    const impostor = end(b, eve, alice, 'acceptor')
    dialer.link.bind(prints)
    impostor.link.bind(mirrored)
    expect(await dialer.closed).toMatchObject({ code: 'bad-signature' })
  })

  it('does not take a signature reflected from the other end', async () => {
    const { dialer, a } = await pair((one) => {
      one.tamper = (m) => {
        setImmediate(() => one.deliver(m))
        return undefined
      }
    })
    dialer.link.bind(prints)
    expect(await dialer.closed).toMatchObject({ code: 'bad-signature' })
    expect(a.sent).toHaveLength(1)
  })
})

describe('[LK2] before the handshake', () => {
  it('anything else closes the channel', async () => {
    const { a, acceptor } = await pair()
    a.send(encodeLinkMessage({ t: 'stop', session }))
    expect(await acceptor.closed).toMatchObject({ code: 'bad-message' })
  })

  it('a flood behind an unchecked signature closes it too', async () => {
    const { a, dialer, acceptor } = await pair()
    dialer.link.bind(prints) // the acceptor never learns its own fingerprints
    for (let i = 0; i <= maxBeforeAuth + 1; i++) setImmediate(() => a.send(encodeStep(step)[0] as Uint8Array))
    expect(await acceptor.closed).toMatchObject({ code: 'bad-message' })
  })
})

describe('a link in use', () => {
  async function connected() {
    const both = await pair()
    both.dialer.link.bind(prints)
    both.acceptor.link.bind(mirrored)
    await Promise.all([both.dialer.ready, both.acceptor.ready])
    return both
  }

  it('closes on a message of unknown kind or one that does not parse', async () => {
    for (const bad of [Uint8Array.of(9, 9), Uint8Array.of(), Uint8Array.of(2, ...utf8('{"t":"nothing"}')), Uint8Array.of(3, 0, 0)]) {
      const { a, acceptor } = await connected()
      a.send(bad)
      expect(await acceptor.closed).toMatchObject({ code: 'bad-message' })
    }
  })

  it('holds what it sends while the channel is full, and sends it in order when it drains', async () => {
    const { a, dialer, acceptor } = await connected()
    a.bufferedAmount = highWaterBytes
    const before = a.sent.length
    dialer.link.sendStep(step)
    dialer.link.sendMessage({ t: 'stop', session })
    expect(a.sent).toHaveLength(before)
    a.drain()
    await acceptor.got
    expect(acceptor.steps).toEqual([step])
  })

  it('stays while one end takes long to send much to the other, whose word in turn is all that is heard of it [LK3]', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    try {
      const { a, b, dialer, acceptor } = await connected()
      let lost: Error | undefined
      for (const { closed } of [dialer, acceptor]) void closed.then((reason) => (lost = reason))
      // What the dialer says, pings among it, waits behind the rest of a step that goes out bit by bit.
      a.bufferedAmount = highWaterBytes
      const [part] = encodeStep({ ...step, payload: new Uint8Array(3 * fragmentBytes) })
      for (let ms = 0; ms < 2 * linkLostMs; ms += 1_000) {
        if (ms === 0) b.deliver(part as Uint8Array)
        else b.deliver(encodeLinkMessage({ t: 'pong', n: 0 }))
        vi.advanceTimersByTime(1_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(lost).toBeUndefined()
    } finally {
      vi.useRealTimers()
    }
  })

  it('tells its owner once when the channel closes', async () => {
    const { b, dialer } = await connected()
    b.close()
    expect(await dialer.closed).toMatchObject({ code: 'peer-lost' })
  })
})

it('finds the fingerprint in a session description', () => {
  expect(fingerprintOf('v=0\r\na=fingerprint:sha-256 AB:CD\r\n')).toBe('sha-256 ab:cd')
  expect(fingerprintOf('v=0')).toBeUndefined()
  expect(fingerprintOf(undefined)).toBeUndefined()
})
