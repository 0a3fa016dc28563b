import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ProjectId } from '../protocol/ids.ts'
import { WidgetFiles, type ProjectFrame } from './widget-files.ts'

const garden = 'p_abcdefghijklmnop' as ProjectId
const version = '1.2.3'
const visits: [string, unknown][] = []
let projects = new Map<string, ProjectFrame>()
let dir: string
let files: WidgetFiles

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'widget-'))
  await mkdir(join(dir, version, 'assets'), { recursive: true })
  await writeFile(join(dir, version, 'mh.js'), 'many hands')
  await writeFile(join(dir, version, 'mh.json'), '{}')
  await writeFile(join(dir, version, 'frame.html'), '<html lang="en" data-project="" data-name="">')
  await writeFile(join(dir, version, 'assets/frame-0123abcd.js'), 'frame')
  await writeFile(join(dir, 'secret.txt'), 'not to be had')
  files = new WidgetFiles({ dir, project: (id) => projects.get(id), visited: (id, from) => visits.push([id, from]) })
})
afterAll(() => rm(dir, { recursive: true }))
beforeEach(() => {
  visits.length = 0
  projects = new Map([[garden, { name: 'Ada’s "Garden" <&>', origins: ['https://garden.example', 'http://127.0.0.1:4000', 'server'] }]])
})

const get = (path: string, init?: RequestInit) => files.respond(new Request(`http://hands.example${path}`, init), 'from there')

describe('the loader', () => {
  it('is for anyone, for ever', async () => {
    const response = await get(`/w/${version}/mh.js`)
    expect(await response?.text()).toBe('many hands')
    expect(Object.fromEntries(response?.headers ?? [])).toMatchObject({
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'cache-control': expect.stringContaining('immutable'),
      'content-type': 'text/javascript; charset=utf-8',
    })
    expect((await get(`/w/${version}/mh.json`))?.status).toBe(200)
  })
})

describe('the frame', () => {
  it('names its project and may be shown by the project’s sites alone', async () => {
    const response = await get(`/w/${version}/frame.html?project=${garden}`)
    expect(response?.status).toBe(200)
    expect(await response?.text()).toBe(`<html lang="en" data-project="${garden}" data-name="Ada’s &quot;Garden&quot; &lt;&amp;&gt;">`)
    const policy = response?.headers.get('content-security-policy')
    expect(policy).toMatch(/frame-ancestors https:\/\/garden\.example http:\/\/127\.0\.0\.1:4000$/)
    expect(policy).toMatch(/^default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'/)
    expect(Object.fromEntries(response?.headers ?? [])).toMatchObject({
      'document-isolation-policy': 'isolate-and-credentialless',
      'cross-origin-embedder-policy': 'credentialless',
      'cross-origin-resource-policy': 'cross-origin',
      'cache-control': 'no-store',
    })
    expect(visits).toEqual([[garden, 'from there']])
  })

  it('of a project that is unknown, revoked or none at all says so, to nobody’s page, and counts no visit', async () => {
    projects.clear()
    for (const query of [`?project=${garden}`, '?project=p_no', '?project=%22%3E%3Cscript%3E', '']) {
      const response = await get(`/w/${version}/frame.html${query}`)
      expect(response?.status).toBe(404)
      expect(await response?.text()).toContain('data-project="" data-name=""')
      expect(response?.headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'$/)
    }
    expect(visits).toEqual([])
  })

  it('takes nothing into its policy that is no origin', async () => {
    projects.set(garden, { name: 'x', origins: ["https://a.example; script-src 'unsafe-inline'", '*', 'server', 'data:'] })
    const response = await get(`/w/${version}/frame.html?project=${garden}`)
    expect(response?.headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'$/)
  })
})

describe('its scripts', () => {
  it('carry the same policy themselves, since a worker obeys its own', async () => {
    const response = await get(`/w/${version}/assets/frame-0123abcd.js`)
    expect(Object.fromEntries(response?.headers ?? [])).toMatchObject({
      'document-isolation-policy': 'isolate-and-credentialless',
      'cross-origin-embedder-policy': 'credentialless',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'cache-control': expect.stringContaining('immutable'),
    })
  })
})

it('nothing else is there: no other version, no folder above, no listing', async () => {
  const paths = ['/w/9.9.9/mh.js', '/w/9.9.9/frame.html', '/w/', `/w/${version}`, `/w/${version}/`, `/w/${version}/a/frame.html`]
  const tricks = ['/w/../secret.txt', '/w/%2e%2e/secret.txt', `/w/${version}/..%2f..%2fsecret.txt`, '/w/secret.txt', '/w/./mh.js']
  for (const path of [...paths, ...tricks]) expect(await get(path), path).toBeUndefined()
})
