import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { leastPower, powerOf, readFrameWord, readHostWord, settingsOf, widgetStates, wrapped } from './wire.ts'

const settings = { theme: 'dark', size: 'compact', lang: 'de', maxPower: 0.3 } as const

describe('what the page says to the frame', () => {
  it('is configure, pause, resume or revoke', () => {
    expect(readHostWord(wrapped({ t: 'configure', settings }))).toEqual({ t: 'configure', settings })
    for (const t of ['pause', 'resume', 'revoke'] as const) expect(readHostWord(wrapped({ t }))).toEqual({ t })
  })

  it('is nothing else: no way to start, consent, ask for peers or raise what the visitor chose', () => {
    for (const t of ['start', 'give', 'yes', 'consent', 'peers', 'setPower', 'ready', 'state'])
      expect(readHostWord({ ...wrapped({ t: 'pause' }), t, power: 1 })).toBeUndefined()
    expect(readHostWord({ t: 'pause' })).toBeUndefined()
  })

  it('may be anything without harm', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (data, inside) => {
        readHostWord(data)
        const word = readHostWord({ ...wrapped({ t: 'pause' }), t: 'configure', settings: inside })
        if (word?.t !== 'configure') return
        expect(word.settings.maxPower).toBeGreaterThanOrEqual(leastPower)
        expect(word.settings.maxPower).toBeLessThanOrEqual(1)
        expect(word.settings.lang.length).toBeLessThan(40)
      }),
    )
  })
})

describe('what a site chooses', () => {
  it('becomes the usual where it makes no sense', () => {
    const usual = { theme: 'auto', size: 'card', lang: '', maxPower: 1 }
    expect(settingsOf({})).toEqual(usual)
    expect(settingsOf({ theme: 'pink', size: 7, lang: {}, maxPower: 'much' })).toEqual(usual)
  })

  it('its power is a share of time', () => {
    expect(['0.4', '1', '7', '0', '', ' ', 'x', null, undefined, Number.NaN, -1].map(powerOf)).toEqual([
      0.4,
      1,
      1,
      leastPower,
      1,
      1,
      1,
      1,
      1,
      1,
      1,
    ])
  })
})

describe('what the frame says to the page', () => {
  it('is that it is there, how high it is, and how things stand, in a sentence of bounded length', () => {
    expect(readFrameWord(wrapped({ t: 'ready' }))).toEqual({ t: 'ready' })
    expect(readFrameWord(wrapped({ t: 'height', pixels: 120 }))).toEqual({ t: 'height', pixels: 120 })
    for (const state of widgetStates)
      expect(readFrameWord(wrapped({ t: 'state', state, reason: 'x'.repeat(999) }))).toEqual({ t: 'state', state, reason: 'x'.repeat(300) })
  })

  it('is dropped when it is anything else', () => {
    fc.assert(fc.property(fc.anything(), (data) => readFrameWord(data) === undefined))
    expect(readFrameWord({ ...wrapped({ t: 'ready' }), t: 'state', state: 'rich', reason: '' })).toBeUndefined()
    expect(readFrameWord({ ...wrapped({ t: 'ready' }), t: 'height', pixels: 'tall' })).toBeUndefined()
  })
})
