import { describe, expect, it } from 'vitest'
import { preflight, type BrowserFacts } from './preflight.ts'

const gibibyte = 2 ** 30
const able: BrowserFacts = {
  secure: true,
  webgpu: true,
  threads: 8,
  isolated: true,
  memory: 8 * gibibyte,
  online: true,
  saveData: false,
  slow: false,
  webrtc: true,
  files: true,
}
const tone = (facts: Partial<BrowserFacts>, id: string, chosen = gibibyte) =>
  preflight({ ...able, ...facts }, chosen).find((finding) => finding.id === id)?.tone

describe('before the click', () => {
  it('a browser that has everything is told so, each thing with a sentence', () => {
    const findings = preflight(able, gibibyte)
    expect(findings.map(({ tone }) => tone)).toEqual(Array.from({ length: findings.length }, () => 'good'))
    expect(findings.every(({ name, text }) => name !== '' && /[.!]$/.test(text))).toBe(true)
  })

  it('what makes giving impossible is bad, what makes it worse is not', () => {
    expect(tone({ secure: false }, 'secure')).toBe('bad')
    expect(tone({ webrtc: false }, 'network')).toBe('bad')
    expect(tone({ online: false }, 'network')).toBe('bad')
    expect(tone({ saveData: true }, 'network')).toBe('wait')
    expect(tone({ slow: true }, 'network')).toBe('wait')
    expect(tone({ webgpu: false }, 'gpu')).toBe('wait')
    expect(tone({ isolated: false }, 'processor')).toBe('wait')
    expect(tone({ files: false }, 'disk')).toBe('wait')
  })

  it('memory is compared with what was chosen, and not judged where the browser does not tell', () => {
    expect(tone({ memory: 4 * gibibyte }, 'memory', 4 * gibibyte)).toBe('wait')
    expect(tone({ memory: 4 * gibibyte }, 'memory', gibibyte)).toBe('good')
    expect(tone({ memory: undefined }, 'memory')).toBe('rest')
  })
})
