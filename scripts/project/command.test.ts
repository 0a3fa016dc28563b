/** The command against a running server, as an operator and an owner use it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type RunningServer } from '../../signaling-server/server.ts'
import { runProject } from './command.ts'

let data: string
let server: RunningServer

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'manyhands-project-command-'))
  server = await startServer({ data, port: 0, site: data })
})
afterAll(async () => {
  await server.close()
  await rm(data, { recursive: true })
})

async function run(args: readonly string[], env: Record<string, string> = { MANYHANDS_SERVER: server.url }) {
  let [out, err] = ['', '']
  const code = await runProject([...args, ...(args.includes('--data') ? [] : ['--data', data])], env, {
    out: (text) => (out += text),
    err: (text) => (err += text),
  })
  return { code, out, err }
}

const create = async () => {
  const { out } = await run(['create', '--name', 'Cats', '--origin', 'https://cats.example', '--json'])
  return JSON.parse(out) as { id: string; key: string; ownerKey: string }
}

describe('the operator', () => {
  it('[PJ1] makes a project and is shown its keys, this once', async () => {
    const { code, out } = await run([
      'create',
      '--name',
      'Cats',
      '--origin',
      'https://cats.example',
      '--origin',
      'server',
      '--audience',
      'only',
    ])
    expect(code).toBe(0)
    const id = /p_[a-z2-7]{16}/.exec(out)?.[0] as string
    expect(out).toContain(`<many-hands project="${id}">`)
    expect(out).toMatch(/mh_[\w-]{43}/)
    const shown = await run(['show', id])
    expect(shown.out).toContain('its own requests alone')
    expect(shown.out).toContain('https://cats.example, server')
    expect(shown.out).not.toMatch(/m[ho]_/)
    expect((await run(['list'])).out).toContain(id)
  })
})

describe('the owner', () => {
  it('[PJ8] manages it from another machine with the owner key', async () => {
    const { id, key, ownerKey } = await create()
    const owner = { MANYHANDS_SERVER: server.url, MANYHANDS_OWNER_KEY: ownerKey }
    const elsewhere = ['--data', '/nowhere']
    expect((await run(['rename', id, 'Big', 'cats', ...elsewhere], owner)).out).toContain('Big cats')
    expect((await run(['origins', id, 'https://a.example', 'https://b.example', ...elsewhere], owner)).out).toContain(
      'https://a.example, https://b.example',
    )
    expect((await run(['audience', id, 'only', ...elsewhere], owner)).out).toContain('alone')
    const rotated = (await run(['rotate', id, ...elsewhere], owner)).out
    expect(rotated).toMatch(/mh_[\w-]{43}/)
    expect(rotated).not.toContain(key)
    expect((await run(['show', id, ...elsewhere], owner)).out).toMatch(/the present one, one until \d{4}-/)
    expect((await run(['days', id, ...elsewhere], owner)).out).toContain('Nothing was counted')
    expect((await run(['revoke', id, ...elsewhere], owner)).out).toContain('has ended')
    expect((await run(['show', id, ...elsewhere], owner)).out).toContain('ended')
    expect((await run(['list', ...elsewhere], owner)).code).toBe(1)
  })
})

describe('what can’t be done', () => {
  it.each([
    [['show', 'p_aaaaaaaaaaaaaaaa'], 1, 'no project'],
    [['create', '--name', 'Cats', '--origin', 'cats.example'], 1, 'An origin looks like'],
    [['list', '--data', '/nowhere'], 1, 'operator'],
    [['list', '--server', 'http://localhost:1'], 1, 'does not answer'],
    [['show'], 2, 'id'],
    [['create', '--name', 'Cats'], 2, '--origin'],
    [['audience', 'p_aaaaaaaaaaaaaaaa', 'none'], 2, 'first, only'],
    [['days', 'p_aaaaaaaaaaaaaaaa', '--days', '0'], 2, '--days'],
    [['paint'], 2, 'no command'],
  ])('%j says why', async (args, code, why) => {
    const answer = await run(args)
    expect(answer.code).toBe(code)
    expect(answer.err).toContain(why)
  })
})
