/** What a site and its visitors load before anybody has clicked, as built. */
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { beforeAll, describe, expect, it } from 'vitest'

/** What a site pays for the tag. */
const loaderBytes = 4 * 1024
/** What a visitor pays for a page that shows the widget. */
const frameBytes = 8 * 1024

const files = new Map<string, string>()

beforeAll(async () => {
  const result = await build({ configFile: 'vite.widget.config.ts', logLevel: 'error', build: { write: false } })
  const [output] = Array.isArray(result) ? result : [result]
  if (!output || !('output' in output)) throw new Error('The widget was not built.')
  for (const file of output.output) files.set(file.fileName, file.type === 'chunk' ? file.code : Buffer.from(file.source).toString())
})

const packed = (...names: string[]) => names.reduce((sum, name) => sum + gzipSync(files.get(name) ?? '').length, 0)

describe('before a click', () => {
  it('the script for sites is small, one file, and names its hash', () => {
    expect(packed('mh.js')).toBeGreaterThan(0)
    expect(packed('mh.js')).toBeLessThanOrEqual(loaderBytes)
    // It runs as a classic script and as a module, and asks for nothing but the frame.
    expect(files.get('mh.js')).not.toMatch(/\bimport\b|\bexport\b|fetch\(|localStorage|indexedDB|WebSocket/)
    expect(JSON.parse(files.get('mh.json') ?? '')).toMatchObject({ integrity: expect.stringMatching(/^sha384-[A-Za-z0-9+/]{64}$/) })
  })

  it('the frame is small, and what computes is not part of it', () => {
    const page = files.get('frame.html') ?? ''
    const named = [...page.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, name = '']) => name)
    const first = named.filter((name) => files.has(name))
    expect(first.map((name) => name.replace(/.*\./, '')).sort()).toEqual(['css', 'js'])
    const script = files.get(first.find((name) => name.endsWith('.js')) ?? '') ?? ''
    // Nothing that it would load along; what it may load later is named with `import(`.
    expect(script).not.toMatch(/\bimport\s*[{*"'\w]|\bfrom\s*["']|new Worker|RTCPeerConnection|WebSocket|indexedDB|localStorage/)
    expect(packed('frame.html', ...first)).toBeLessThanOrEqual(frameBytes)
  })
})
