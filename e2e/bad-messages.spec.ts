/** What strangers say to the server that they should not: a clear code, nothing hangs, and others don't notice. */
import { asError } from '../protocol/errors.ts'
import { connect } from '../sdk/node.ts'
import { expect, test } from './harness/fixtures.ts'
import { RawSocket } from './harness/raw-socket.ts'

const model = 'smollm2-135m-instruct'

test.afterEach('the network still answers', async ({ chat }) => {
  const network = await connect({ server: chat.url })
  const { tokenIds } = await network.generate(model, [{ role: 'user', content: 'What is the capital of France?' }], { maxTokens: 2 })
  expect(tokenIds).toEqual([504, 3575])
  await network.close()
})

test.describe('before the hello', () => {
  for (const [what, said] of [
    ['text that is no JSON', 'good day'],
    ['a message of an unknown kind', '{"t":"teapot"}'],
    ['a request', '{"t":"models","id":1}'],
    ['bytes', new Uint8Array(195)],
    ['more than a message may hold', 'x'.repeat(1_000_000)],
  ] as const) {
    test(`${what}: the socket closes`, async ({ chat }) => {
      const socket = await RawSocket.open(chat.url)
      await socket.next('challenge')
      socket.send(said)
      expect((await socket.hungUp()).code).toBeGreaterThan(1000)
    })
  }

  test('silence: the socket closes when the time for a hello is over', async ({ chat }) => {
    const socket = await RawSocket.open(chat.url)
    await socket.next('challenge')
    await socket.hungUp()
  })
})

test.describe('a hello is refused when', () => {
  test('it is a replay of one that was good', async ({ chat }) => {
    const first = await RawSocket.open(chat.url)
    const hello = await first.hello(await first.next('challenge'))
    first.send(hello)
    await first.next('welcome')
    const second = await RawSocket.open(chat.url, first.identity)
    await second.next('challenge')
    second.send(hello)
    await second.hungUp()
    first.close()
  })

  test('it was signed for another server', async ({ chat }) => {
    const socket = await RawSocket.open(chat.url)
    socket.send(await socket.hello(await socket.next('challenge'), { server: '00'.repeat(32) }))
    await socket.hungUp()
  })

  test('another key signed it', async ({ chat }) => {
    const [socket, other] = [await RawSocket.open(chat.url), await RawSocket.open(chat.url)]
    const hello = await other.hello(await socket.next('challenge'))
    socket.send({ ...hello, key: socket.identity.publicKey })
    await socket.hungUp()
    other.close()
  })

  test('it has expired', async ({ chat }) => {
    const socket = await RawSocket.open(chat.url)
    const challenge = await socket.next('challenge')
    socket.send(await socket.hello(challenge, { expiresAt: challenge.now - 1 }))
    await socket.hungUp()
  })
})

test.describe('after the hello', () => {
  for (const [what, said] of [
    ['no JSON', '{"t":'],
    ['an unknown kind', { t: 'teapot' }],
    ['a field too many', { t: 'models', id: 1, and: 'more' }],
    ['a number out of range', { t: 'open', id: 1, revision: 'ab'.repeat(32), maxPositions: -1, sampling: null }],
    ['proofs of the wrong length', new Uint8Array(17)],
  ] as const) {
    test(`${what} is answered with bad-message`, async ({ chat }) => {
      const socket = await RawSocket.welcomed(chat.url)
      socket.send(said)
      expect((await socket.next('error')).error.code).toBe('bad-message')
      socket.close()
    })
  }

  test('proofs of sessions that never were are of no effect', async ({ chat }) => {
    const socket = await RawSocket.welcomed(chat.url)
    socket.send(new Uint8Array(195).fill(7))
    socket.send({ t: 'models', id: 3 })
    expect((await socket.next('models')).models.map((m) => m.name)).toEqual([model])
    socket.close()
  })

  test('a flood is cut off with a reason', async ({ chat }) => {
    const socket = await RawSocket.welcomed(chat.url)
    for (let id = 0; id < 5_000 && !socket.closed; id++) socket.send({ t: 'models', id })
    expect((await socket.hungUp()).reason).not.toBe('')
  })
})

test('an unknown model is named, with those that there are', async ({ asking }) => {
  await expect(asking.generate('gpt-17', 'Hello')).rejects.toMatchObject({ code: 'unknown-model', message: expect.stringContaining(model) })
})

test('a prompt longer than the context is refused with both figures', async ({ asking, chat }) => {
  const long = 'the '.repeat(9_000)
  const context = String(chat.model.manifest.decoder?.context)
  await expect(asking.generate(model, long)).rejects.toMatchObject({ code: 'context-overflow', message: expect.stringContaining(context) })
})

test('options that make no sense are refused', async ({ asking }) => {
  for (const options of [
    { maxTokens: 0 },
    { temperature: -1 },
    { topP: 0 },
    { seed: 1.5 },
    { stop: Array.from({ length: 9 }, () => 'x') },
  ]) {
    await expect(asking.generate(model, 'Hello', options)).rejects.toMatchObject({ code: 'bad-input' })
  }
  await expect(asking.generate(model, '')).rejects.toMatchObject({ code: 'bad-input' })
  await expect(asking.generate(model, [])).rejects.toMatchObject({ code: 'bad-input' })
})

test('no volunteers: the answer says so', async ({ chat }) => {
  const tab = chat.tabs[1]
  if (!tab) throw new Error('no tab')
  const { page } = tab.browser
  await page.getByTestId('pause').click()
  const network = await connect({ server: chat.url })
  try {
    const code = async () => {
      try {
        await network.generate(model, 'Hello', { maxTokens: 1 })
        return 'answered'
      } catch (thrown) {
        return asError(thrown).code
      }
    }
    await expect.poll(code).toBe('no-volunteers')
  } finally {
    await page.getByTestId('resume').click()
    await network.close()
  }
  await tab.serving(60_000)
})
