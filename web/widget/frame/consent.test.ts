import { describe, expect, it } from 'vitest'
import { askedMs, Consent, hoverMs, steadyMs, type ConsentButton, type Verdict } from './consent.ts'

/** A visitor in front of a frame, whose time passes only here. */
class Scene {
  readonly consent = new Consent()
  at = 1_000
  /** Of the screen for one of the frame's; a page that shrinks the frame has a smaller one. */
  scale = 1

  constructor(visible: boolean | 'untold' = true, ratio = 1) {
    this.looked(visible, ratio)
    this.wait(steadyMs)
  }

  wait(ms: number): this {
    this.at += ms
    return this
  }

  looked(visible: boolean | 'untold', ratio = 1): this {
    this.consent.looked({ at: this.at, ratio, visible: visible === 'untold' ? undefined : visible })
    return this
  }

  point(t: 'enter' | 'move' | 'down' | 'leave', button: ConsentButton, x: number, kind = 'mouse', trusted = true): this {
    this.consent.pointed({ t, button, at: this.at, kind, trusted, client: [x, 10], screen: [500 + x * this.scale, 300] })
    return this
  }

  /** As a hand does it: comes, stays, presses. */
  mouse(button: ConsentButton, hover = hoverMs): Verdict {
    this.point('enter', button, 10).point('move', button, 30).wait(hover).point('down', button, 30)
    return this.click(button, 1)
  }

  click(button: ConsentButton, detail: number, trusted = true): Verdict {
    return this.consent.clicked({ button, at: this.at, trusted, detail })
  }
}

describe('a click of the visitor', () => {
  it('starts at once when the browser sees that nothing covers it', () => {
    expect(new Scene().mouse('give')).toBe('start')
  })

  it('is asked for a second time where the browser can’t see covers, and starts then', () => {
    const scene = new Scene('untold')
    expect(scene.mouse('give')).toBe('ask')
    expect(scene.wait(askedMs).mouse('yes')).toBe('start')
  })

  it('by key or screen reader is asked for a second time, and starts then', () => {
    const scene = new Scene()
    expect(scene.click('give', 0)).toBe('ask')
    expect(scene.wait(askedMs).click('yes', 0)).toBe('start')
  })

  it('by finger is asked for a second time, and starts then', () => {
    const scene = new Scene()
    expect(scene.point('down', 'give', 10, 'touch').click('give', 1)).toBe('ask')
    expect(scene.wait(askedMs).point('down', 'yes', 10, 'touch').click('yes', 1)).toBe('start')
  })

  it('counts again after one that did not', () => {
    const scene = new Scene(false)
    expect(scene.mouse('give')).toBe('again')
    scene.looked(true).wait(steadyMs)
    expect(scene.point('down', 'give', 30).click('give', 1)).toBe('start')
  })
})

describe('what a page can do', () => {
  it('a click or pointer that it made itself is nothing', () => {
    const scene = new Scene()
    expect(scene.click('give', 1, false)).toBe('nothing')
    scene.point('enter', 'give', 10, 'mouse', false).point('move', 'give', 40, 'mouse', false).wait(hoverMs)
    scene.point('down', 'give', 40, 'mouse', false)
    expect(scene.click('give', 1)).toBe('ask')
  })

  it('the visitor’s own Enter, with the focus put here, is one question more; held down it answers none', () => {
    const scene = new Scene()
    expect(scene.click('give', 0)).toBe('ask')
    expect(scene.wait(30).click('yes', 0)).toBe('again')
    expect(scene.wait(askedMs - 31).click('yes', 0)).toBe('again')
  })

  it('a cover, a clip or a fade, at any time before the click, and it does not count', () => {
    expect(new Scene(false).mouse('give')).toBe('again')
    expect(new Scene(true, 0.98).mouse('give')).toBe('again')
    const uncovered = new Scene(false)
    expect(
      uncovered
        .looked(true)
        .wait(steadyMs - hoverMs - 1)
        .mouse('give'),
    ).toBe('again')
    const flickered = new Scene()
    expect(flickered.looked(false).looked(true).mouse('give')).toBe('again')
    expect(new Scene(false).click('give', 0)).toBe('again')
  })

  it('covered, the second question does not count either', () => {
    const scene = new Scene()
    expect(scene.click('give', 0)).toBe('ask')
    expect(scene.wait(askedMs).looked(false).mouse('yes')).toBe('again')
  })

  it('a frame pushed under a hand that clicks is not started: the pointer has not been there, or has not moved there', () => {
    expect(new Scene().mouse('give', 0)).toBe('ask')
    expect(new Scene().mouse('give', hoverMs - 1)).toBe('ask')
    const still = new Scene()
    still.point('enter', 'give', 10).wait(hoverMs).point('down', 'give', 10)
    expect(still.click('give', 1)).toBe('ask')
    // And under the next click, the second question.
    still.wait(askedMs).point('enter', 'yes', 10).point('down', 'yes', 10)
    expect(still.click('yes', 1)).toBe('again')
    still.point('leave', 'yes', 10).point('enter', 'yes', 10).wait(hoverMs).point('down', 'yes', 10)
    expect(still.click('yes', 1)).toBe('again')
  })

  it('a frame shrunk is asked twice, and one too small to be read never started by a pointer', () => {
    const small = new Scene()
    small.scale = 0.5
    expect(small.mouse('give')).toBe('ask')
    expect(small.wait(askedMs).mouse('yes')).toBe('start')
    const tiny = new Scene()
    tiny.scale = 0.2
    expect(tiny.mouse('give')).toBe('ask')
    expect(tiny.wait(askedMs).mouse('yes')).toBe('again')
  })

  it('an answer to a question that was not asked is none', () => {
    expect(new Scene().mouse('yes')).toBe('again')
    const scene = new Scene()
    expect(scene.click('give', 0)).toBe('ask')
    scene.consent.declined()
    expect(scene.wait(askedMs).click('yes', 0)).toBe('again')
  })
})
