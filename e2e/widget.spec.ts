/**
 * The widget on a site of another origin: what a visitor gets by a click, and what the site can't get by any trick. Each trick works
 * on a frame that starts with any click; here it fails for the reason that its test names.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import axe from 'axe-core'
import type { Frame, Page } from 'playwright'
import { openLibrary } from '../models/library.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import type { ManyHandsElement, WidgetChange } from '../web/widget/element.ts'
import { startBrowser, type BrowserProcess } from './harness/browser-process.ts'
import { demoSite } from './harness/demo-site.ts'
import { expect, test } from './harness/fixtures.ts'
import { startNetwork, type TestNetwork } from './harness/network.ts'
import { createProject, type MadeProject } from './harness/project.ts'
import { clickByHand, frameOf, openSite, resting, stateOf, version, widget, widgetSite, type WidgetSite } from './harness/widget-site.ts'

const modelName = 'tiny-llama'
const givingMs = 120_000
/** What needs no weights, on a busy machine. */
const promptMs = 20_000
/** An element that hears nothing of its frame for so long says so; the page's clock is put forward. */
const openingMs = 10_000

let network: TestNetwork
let site: WidgetSite
let project: MadeProject
let visitor: BrowserProcess
let page: Page
/** Of tests before. */
let known = 0

test.beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'manyhands-tiny-'))
  const model = await openLibrary(folder).addFile(tinyLlama({ layers: 2 }), { name: modelName })
  network = await startNetwork({ model, library: folder, stages: 1, volunteers: [] })
  network.onClose(() => rm(folder, { recursive: true, force: true }))
  site = await widgetSite(network.url)
  project = await createProject(network, { name: 'The seed library', origins: [site.origin] })
  visitor = await startBrowser()
})
test.afterAll(async () => {
  await visitor?.close()
  await site?.close()
  await network?.close()
})
test.beforeEach(async () => {
  known = visitor.problems.length
  page = await visitor.context.newPage()
  await page.setViewportSize({ width: 1280, height: 800 })
  site.show(`<many-hands project="${project.id}"></many-hands>`)
})
test.afterEach(() => page?.close())

const state = (wanted: string, of = page) =>
  expect.poll(() => stateOf(of), { timeout: wanted === 'giving' ? givingMs : promptMs }).toBe(wanted)
const problems = () => visitor.problems.slice(known)
const told = (): Promise<WidgetChange[]> => page.evaluate(() => Reflect.get(globalThis, 'told') as WidgetChange[])
const part = (id: string) => frameOf(page).locator(`#${id}`)

async function visit(): Promise<void> {
  await openSite(page, site.origin)
  await state('off')
  await expect(part('give')).toBeVisible()
  // Until the question has been in view for long enough to be read.
  await resting(page)
}

function innerFrame(): Frame {
  const found = page.frames().find((frame) => frame.url().includes('/frame.html'))
  if (!found) throw new Error('The page shows no frame of ours.')
  return found
}

/** All that was said to the frame before has been heard, and all that it has done since has been told. */
async function heard(): Promise<void> {
  const lang = await widget(page).evaluate((found) => {
    const element = found as HTMLElement
    element.lang = element.lang === 'de' ? 'en' : 'de'
    return element.lang
  })
  await expect.poll(() => innerFrame().evaluate(() => document.documentElement.lang)).toBe(lang)
  const { length } = await told()
  await expect.poll(async () => (await told()).length).toBeGreaterThanOrEqual(length)
}

/** axe finds nothing in the frame as it is now. */
async function forEverybody(): Promise<void> {
  await innerFrame().evaluate(axe.source)
  const { violations, passes } = await innerFrame().evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run())
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join()}`)).toEqual([])
  expect(passes.map(({ id }) => id)).toContain('color-contrast')
}

async function nothingBegan(): Promise<void> {
  await heard()
  expect((await told()).map((change) => change.state)).not.toContain('starting')
  expect(page.workers()).toEqual([])
}

/** To where our button lies under the page's point, at once. */
const pushUnder = (button: string, x: number, y: number) =>
  frameOf(page)
    .locator(button)
    .boundingBox()
    .then((box) =>
      widget(page).evaluate(
        (element, [dx, dy]) => {
          const { left, top } = element.style
          element.style.position = 'relative'
          element.style.left = `${(Number.parseFloat(left) || 0) + dx}px`
          element.style.top = `${(Number.parseFloat(top) || 0) + dy}px`
        },
        [x - ((box?.x ?? 0) + (box?.width ?? 0) / 2), y - ((box?.y ?? 0) + (box?.height ?? 0) / 2)] as const,
      ),
    )

test.describe('before the click', () => {
  test('nothing is stored, opened, probed or computed', async () => {
    const begun: string[] = []
    page.on('websocket', (socket) => begun.push(`socket ${socket.url()}`))
    page.on('worker', (worker) => begun.push(`worker ${worker.url()}`))
    await page.addInitScript(() => {
      const calls: string[] = []
      Object.assign(globalThis, { calls })
      const watched: readonly (readonly [object, string])[] = [
        [StorageManager.prototype, 'getDirectory'],
        [StorageManager.prototype, 'persist'],
        [CacheStorage.prototype, 'open'],
        [IDBFactory.prototype, 'open'],
        [Storage.prototype, 'setItem'],
        [Storage.prototype, 'getItem'],
        [LockManager.prototype, 'request'],
        [RTCPeerConnection.prototype, 'createDataChannel'],
        [WebAssembly, 'compile'],
        [WebAssembly, 'instantiate'],
        ['gpu' in navigator ? Object.getPrototypeOf(navigator.gpu) : {}, 'requestAdapter'],
        [globalThis, 'fetch'],
      ]
      for (const [owner, name] of watched) {
        const original: unknown = Reflect.get(owner, name)
        if (typeof original !== 'function') continue
        Reflect.set(owner, name, function (this: unknown, ...args: unknown[]) {
          calls.push(name)
          return Reflect.apply(original, this, args)
        })
      }
    })
    await visit()
    const frame = innerFrame()
    expect(new URL(frame.url()).origin).not.toBe(site.origin)
    expect(await frame.evaluate(() => Reflect.get(globalThis, 'calls'))).toEqual([])
    expect(begun).toEqual([])
    expect(await frame.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length])).toEqual(['', 0, 0])
    expect(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length])).toEqual(['', 0, 0])
    const loaded = await frame.evaluate(() =>
      performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname.replace(/.*\./, '')),
    )
    expect(loaded.sort()).toEqual(['css', 'js'])
  })

  test('it says what will happen and for whom, in the site’s language, under the strictest policy', async () => {
    await visit()
    await expect(part('consent')).toContainText('“The seed library”')
    await widget(page).evaluate((element) => element.setAttribute('lang', 'de'))
    await expect(part('give')).toHaveText('Diesen Tab verleihen')
    await expect(part('consent')).toContainText('„The seed library“')
    await widget(page).evaluate((element) => element.setAttribute('theme', 'dark'))
    await expect.poll(() => innerFrame().evaluate(() => getComputedStyle(document.documentElement).colorScheme)).toBe('dark')
    expect(problems()).toEqual([])
    await page.setViewportSize({ width: 320, height: 800 })
    expect(await innerFrame().evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0)
    for (const theme of ['light', 'dark']) {
      await widget(page).evaluate((element, theme) => element.setAttribute('theme', theme), theme)
      await heard()
      await forEverybody()
    }
  })
})

test.describe('by the visitor’s click', () => {
  test('it gives, with threads, until the site pauses it, the visitor pauses it, or the site revokes it', async () => {
    await visit()
    const call = (name: 'pause' | 'resume' | 'revoke') =>
      widget(page).evaluate((element, name) => (element as ManyHandsElement)[name](), name)
    // A pause said before holds after the click: not a byte of weights comes.
    await call('pause')
    await clickByHand(page, '#give')
    await state('paused')
    await expect(part('reason')).toContainText('This site paused it')
    expect(page.workers()).toEqual([])
    await call('resume')
    await state('giving')
    expect(await innerFrame().evaluate(() => crossOriginIsolated)).toBe(true)
    // The compute worker, and those that share its memory: a decoder's weights are worth several threads, where there are processors.
    expect(page.workers().length > 1).toBe((await innerFrame().evaluate(() => navigator.hardwareConcurrency)) > 1)

    await call('pause')
    await state('paused')
    await part('pause').click()
    await call('resume')
    await expect(part('reason')).toContainText('You paused it')
    expect(await stateOf(page)).toBe('paused')
    await part('pause').click()
    await state('giving')

    await call('revoke')
    await state('stopped')
    await expect.poll(() => page.workers().length).toBe(0)
    const states = (await told()).map((change) => change.state)
    expect(states).toEqual(expect.arrayContaining(['off', 'starting', 'giving', 'paused', 'stopped']))
    expect((await told()).every((change) => change.reason.length > 0)).toBe(true)
  })

  test('by keyboard it asks once more, and the second yes is a key further on', async () => {
    await visit()
    await part('give').focus()
    await page.keyboard.press('Enter')
    await state('asking')
    await expect(part('confirm-title')).toBeFocused()
    await forEverybody()
    await page.keyboard.press('Tab')
    await expect(part('no')).toBeFocused()
    await page.keyboard.press('Tab')
    await expect(part('yes')).toBeFocused()
    await expect(async () => {
      await page.keyboard.press('Enter')
      expect(await stateOf(page)).not.toBe('asking')
    }).toPass({ timeout: promptMs })
    await state('giving')
    await forEverybody()
    await part('stop').click()
    await state('stopped')
    await forEverybody()
    await part('forget').click()
    await expect(part('over-reason')).toContainText('removed')
    const left = await innerFrame().evaluate(async () => {
      const files: string[] = []
      const folders = [await navigator.storage.getDirectory()]
      for (let folder = folders.pop(); folder; folder = folders.pop())
        for await (const entry of folder.values()) {
          if (entry.kind === 'directory') folders.push(entry)
          else files.push(entry.name)
        }
      return { files, databases: await indexedDB.databases() }
    })
    expect(left).toEqual({ files: [], databases: [] })
  })

  test('two widgets on a page and two tabs of a site are one volunteer; the next takes over when it ends', async () => {
    site.show(`<many-hands project="${project.id}"></many-hands><many-hands project="${project.id}"></many-hands>`)
    await visit()
    await clickByHand(page, '#give')
    await state('giving')
    const second = page.locator('many-hands').nth(1)
    const secondState = () => second.evaluate((element) => (element as ManyHandsElement).state)
    await second.scrollIntoViewIfNeeded()
    const inSecond = (id: string) => second.frameLocator('iframe').locator(`#${id}`)
    await inSecond('give').press('Enter')
    await expect.poll(secondState).toBe('asking')
    await expect(async () => {
      await inSecond('yes').press('Enter', { timeout: 1_000 })
      expect(await secondState()).toMatch(/starting|elsewhere/)
    }).toPass({ timeout: promptMs })
    await expect.poll(secondState).toBe('elsewhere')
    const computing = page.workers().length

    const other = await visitor.context.newPage()
    try {
      await openSite(other, site.origin)
      await state('off', other)
      await resting(other)
      await clickByHand(other, '#give')
      await state('elsewhere', other)
      expect(other.workers()).toEqual([])
      expect(page.workers().length).toBe(computing)
    } finally {
      await other.close()
    }
    await part('stop').click()
    await state('stopped')
    await expect.poll(secondState, { timeout: givingMs }).toBe('giving')
  })
})

test('what could not be loaded is said, and loaded again when the visitor asks anew; taken out of the page it is gone', async () => {
  await visit()
  await page.route('**/giving-*.js', (route) => route.abort())
  await clickByHand(page, '#give')
  await state('failed')
  await expect(part('over-reason')).toContainText('Check the connection')
  await page.unroute('**/giving-*.js')
  await part('back').click()
  await state('off')
  await resting(page)
  await clickByHand(page, '#give')
  await state('giving')

  // Taken out of the page, it has left the network too.
  const volunteers = async () => /^manyhands_volunteers (\d+)$/m.exec(await (await fetch(`${network.url}/metrics`)).text())?.[1]
  expect(await volunteers()).toBe('1')
  await widget(page).evaluate((element) => element.remove())
  await expect.poll(() => page.workers()).toEqual([])
  await expect.poll(volunteers).toBe('0')
})

test('a site that is isolated itself shows it as any other', async () => {
  const isolated = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }
  const own = await widgetSite(network.url, isolated)
  try {
    const { id } = await createProject(network, { name: 'The seed library', origins: [own.origin] })
    own.show(`<many-hands project="${id}"></many-hands>`)
    await openSite(page, own.origin)
    await state('off')
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
    expect(await innerFrame().evaluate(() => crossOriginIsolated)).toBe(true)
  } finally {
    await own.close()
  }
})

test('the site to copy: its own question is answered by the visitor who helps it', async () => {
  const own = await demoSite(network, modelName)
  try {
    await openSite(page, own.origin)
    await state('off')
    await part('give').scrollIntoViewIfNeeded()
    await expect(async () => {
      await clickByHand(page, '#give')
      expect(await stateOf(page)).not.toBe('off')
    }).toPass({ timeout: promptMs })
    await state('giving')
    await expect(page.locator('#helping')).toContainText('You are helping')
    // Also out of sight, where browsers hold a page's own timers back.
    await widget(page).evaluate((element) => (element.style.display = 'none'))
    await page.locator('#ask button').click()
    await expect(page.locator('#answer')).not.toHaveText(/^…?$/, { timeout: givingMs })
    await expect
      .poll(async () => {
        const headers = { authorization: `Bearer ${own.project.ownerKey}` }
        const answered = await fetch(`${network.url}/v1/projects/${own.project.id}`, { headers })
        return ((await answered.json()) as { counters: unknown }).counters
      })
      .toMatchObject({ visitors: 1, requests: 1, byAudience: 1 })
    expect(problems()).toEqual([])
  } finally {
    await own.close()
  }
})

test.describe('what a site can’t do', () => {
  test('start it by a click of its own making, on the frame or in it', async () => {
    await visit()
    await page.evaluate(() => {
      const element = document.querySelector('many-hands') as HTMLElement
      const frame = element.shadowRoot?.querySelector('iframe') as HTMLIFrameElement
      for (const target of [element, frame]) {
        target.click()
        for (const type of ['pointerenter', 'pointerdown', 'pointerup', 'click'])
          target.dispatchEvent(new PointerEvent(type, { bubbles: true, composed: true, pointerType: 'mouse', detail: 1 }))
      }
    })
    // Even with a hand in the frame, such a click is none.
    await innerFrame().evaluate(() => {
      for (const id of ['give', 'yes']) {
        const button = document.getElementById(id) as HTMLElement
        for (const type of ['pointerenter', 'pointermove', 'pointerdown'])
          button.dispatchEvent(new PointerEvent(type, { pointerType: 'mouse' }))
        button.dispatchEvent(new MouseEvent('click', { bubbles: true, detail: 1 }))
        button.click()
      }
    })
    await nothingBegan()
    expect(await stateOf(page)).toBe('off')
  })

  test('start it with a click that the visitor made on the site’s own button, or with what is left of one', async () => {
    await visit()
    await page.evaluate(() => {
      document.getElementById('own')?.addEventListener('click', () => {
        const frame = document.querySelector('many-hands')?.shadowRoot?.querySelector('iframe') as HTMLIFrameElement
        frame.focus()
        frame.click()
        const words = ['start', 'give', 'yes', 'click', 'consent', 'resume', 'configure'].map((t) => ({
          mark: 'manyhands-widget/1',
          t,
          power: 1,
        }))
        for (const word of words)
          frame.contentWindow?.postMessage(word, { targetOrigin: '*', delegate: 'fullscreen' } as WindowPostMessageOptions)
      })
    })
    await page.locator('#own').click()
    expect(await page.evaluate(() => navigator.userActivation.isActive)).toBe(true)
    await nothingBegan()
    // What the visitor presses elsewhere in the frame leaves it active, too.
    await part('about').locator('summary').click()
    await part('about').locator('summary').click()
    expect(await innerFrame().evaluate(() => navigator.userActivation.isActive)).toBe(true)
    await nothingBegan()
    expect(await stateOf(page)).toBe('off')
  })

  test('start it with the visitor’s Enter, having put the focus here: one key is one question more, however long it is held', async () => {
    await visit()
    await part('give').focus()
    await page.keyboard.down('Enter')
    await state('asking')
    for (let i = 0; i < 20; i++) await page.keyboard.down('Enter')
    await page.keyboard.up('Enter')
    await nothingBegan()
    expect(await stateOf(page)).toBe('asking')
  })

  test('push the frame under a hand that is about to click', async () => {
    await visit()
    await page.mouse.move(300, 420)
    await pushUnder('#give', 300, 420)
    // While it is still moving into view, a click does not count at all.
    await expect(async () => {
      await page.mouse.down()
      await page.mouse.up()
      expect(await stateOf(page)).toBe('asking')
    }).toPass({ timeout: promptMs })
    await pushUnder('#yes', 300, 420)
    // Where a click lands is known only once the frame is where it was pushed.
    await expect(async () => {
      await page.mouse.down()
      await page.mouse.up()
      expect(await part('again').isVisible()).toBe(true)
    }).toPass({ timeout: promptMs })
    // And leave it there until the next click: the hand has not come to it.
    await resting(page)
    await page.mouse.down()
    await page.mouse.up()
    await nothingBegan()
    expect(await stateOf(page)).toBe('asking')
  })

  /** What each does, and by how much the button lies higher after it. */
  const covers: Readonly<Record<string, (page: Page) => Promise<unknown>>> = {
    'lay something of its own over it': (page) =>
      page.evaluate(() => {
        const box = document.querySelector('many-hands')?.getBoundingClientRect() as DOMRect
        const cover = document.createElement('div')
        cover.textContent = 'Click here for more seeds'
        const { style } = cover
        Object.assign(style, { position: 'fixed', background: 'white', pointerEvents: 'none' })
        Object.assign(style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` })
        document.body.append(cover)
      }),
    'let it shine through only faintly': (page) => widget(page).evaluate((element) => (element.style.opacity = '0.02')),
    'cut all but the button off': async (page) => {
      const outer = await widget(page).boundingBox()
      const button = await part('give').boundingBox()
      if (!outer || !button) throw new Error('nothing is shown')
      const [top, bottom] = [button.y - outer.y, outer.y + outer.height - button.y - button.height]
      await widget(page).evaluate((element, [top, bottom]) => (element.style.clipPath = `inset(${top}px 0 ${bottom}px 0)`), [
        top,
        bottom,
      ] as const)
    },
    'show the button through a slit': async (page) => {
      const outer = await widget(page).boundingBox()
      const button = await part('give').boundingBox()
      if (!outer || !button) throw new Error('nothing is shown')
      const up = button.y - outer.y
      await widget(page).evaluate(
        (element, [up, height]) => {
          Object.assign(element.style, { height: `${height}px`, overflow: 'hidden' })
          Object.assign(element.shadowRoot?.querySelector('iframe')?.style ?? {}, { marginTop: `-${up}px` })
        },
        [up, button.height] as const,
      )
      return up
    },
  }
  for (const [name, cover] of Object.entries(covers)) {
    test(`${name} and have the visitor click through`, async () => {
      await visit()
      const box = await part('give').boundingBox()
      const up = await cover(page)
      await resting(page)
      const [x, y] = [(box?.x ?? 0) + 20, (box?.y ?? 0) + 20 - (typeof up === 'number' ? up : 0)]
      await page.mouse.move(x - 10, y)
      await page.mouse.move(x, y, { steps: 4 })
      await resting(page)
      await page.mouse.down()
      await page.mouse.up()
      // The click came to the button, and did not count.
      await expect(part('again')).not.toBeEmpty()
      await nothingBegan()
      expect(await stateOf(page)).toBe('off')
    })
  }

  /** The hand comes to a button of a frame that is shown so much smaller, stays, and clicks. */
  async function clickShrunk(button: string, scale: number): Promise<void> {
    const outer = await widget(page).boundingBox()
    const box = await frameOf(page)
      .locator(button)
      .evaluate((element) => element.getBoundingClientRect().toJSON() as DOMRect)
    const [x, y] = [(outer?.x ?? 0) + (box.left + box.width / 2) * scale, (outer?.y ?? 0) + (box.top + box.height / 2) * scale]
    await page.mouse.move(x - 4, y)
    await page.mouse.move(x + 4, y, { steps: 4 })
    await resting(page)
    await page.mouse.down()
    await page.mouse.up()
  }

  test('shrink it until nobody can read it: what lies smaller is not plainly seen', async () => {
    await visit()
    await widget(page).evaluate((element) => Object.assign(element.style, { transform: 'scale(0.15)', transformOrigin: '0 0' }))
    await clickShrunk('#give', 0.15)
    await expect(part('again')).toBeVisible()
    await nothingBegan()
    expect(await stateOf(page)).toBe('off')
  })

  test('zoom it until nobody can read it: the hand’s way in the frame is longer than on the screen', async () => {
    await visit()
    await widget(page).evaluate((element) => element.style.setProperty('zoom', '0.15'))
    await expect(async () => {
      await clickShrunk('#give', 0.15)
      expect(await stateOf(page)).toBe('asking')
    }).toPass({ timeout: promptMs })
    await clickShrunk('#yes', 0.15)
    await expect(part('again')).toBeVisible()
    await nothingBegan()
    expect(await stateOf(page)).toBe('asking')
  })

  test('start it by the frame’s address', async () => {
    await visit()
    await page.evaluate(() => {
      const frame = document.querySelector('many-hands')?.shadowRoot?.querySelector('iframe') as HTMLIFrameElement
      frame.src += '&start=1&autostart=true&consent=yes&power=1&state=giving#start'
    })
    await expect.poll(() => innerFrame().url()).toContain('autostart')
    await expect(part('give')).toBeVisible()
    await nothingBegan()
    expect(await stateOf(page)).toBe('off')
  })

  test('raise the power that the visitor chose, or read more than how things stand', async () => {
    site.show(`<many-hands project="${project.id}" max-power="0.4"></many-hands>`)
    await visit()
    await clickByHand(page, '#give')
    await state('giving')
    await expect(part('power-value')).toHaveText('40 %; this site allows 40 % at most')
    await part('power').fill('30')
    await expect(part('power-value')).toHaveText('30 %')
    await innerFrame().evaluate(() => {
      const powers: number[] = []
      Object.assign(globalThis, { powers })
      const { postMessage } = Worker.prototype
      Worker.prototype.postMessage = function (this: Worker, message: unknown, ...rest: never[]) {
        const text = JSON.stringify(message)
        if (text.includes('setPower')) powers.push(...(text.match(/0?\.\d+|\b1\b/g) ?? []).map(Number))
        postMessage.call(this, message, ...rest)
      }
    })
    await widget(page).evaluate((element) => {
      element.setAttribute('max-power', '1')
      const frame = element.shadowRoot?.querySelector('iframe')?.contentWindow
      const word = { mark: 'manyhands-widget/1', t: 'configure', power: 1, settings: { maxPower: 99, power: 1 } }
      for (const more of [{}, { t: 'setPower' }, { t: 'peers' }, { t: 'state' }]) frame?.postMessage({ ...word, ...more }, '*')
    })
    await heard()
    await expect(part('power-value')).toHaveText('30 %')
    const powers = await innerFrame().evaluate(() => Reflect.get(globalThis, 'powers') as number[])
    expect(powers).toContain(0.3)
    expect(powers.filter((power) => power > 0.3)).toEqual([])

    const messages = await page.evaluate(() => Reflect.get(globalThis, 'messages') as string[])
    expect(messages.length).toBeGreaterThan(3)
    expect(messages.filter((message) => /[0-9a-f]{32}|candidate|fingerprint|peer/i.test(message))).toEqual([])
    for (const message of messages) expect(['ready', 'state', 'height']).toContain((JSON.parse(message) as { t: string }).t)
    expect(await page.evaluate(() => document.querySelector('many-hands')?.shadowRoot?.querySelector('iframe')?.contentDocument)).toBeNull()
  })

  test('take the frame’s origin away and have it go on somehow: it says what is wrong', async () => {
    await visit()
    await page.evaluate(() => {
      const frame = document.querySelector('many-hands')?.shadowRoot?.querySelector('iframe') as HTMLIFrameElement
      frame.setAttribute('sandbox', 'allow-scripts')
      // oxlint-disable-next-line no-self-assign -- loads it again
      frame.src = frame.src
    })
    await expect(part('over-reason')).toContainText('allow-same-origin')
    await expect(part('give')).toBeHidden()
  })
})

test.describe('not shown at all', () => {
  async function refused(origin: string): Promise<void> {
    await page.clock.install()
    await openSite(page, origin)
    await expect.poll(() => page.frames().map((frame) => frame.url())).toContain('chrome-error://chromewebdata/')
    await page.clock.fastForward(openingMs)
    await state('blocked')
    await expect(page.locator('many-hands iframe')).toBeHidden()
    expect((await told()).at(-1)?.reason).toContain('one of the project')
  }

  test('on a site that is not the project’s', async () => {
    const stranger = await widgetSite(network.url)
    try {
      stranger.show(`<many-hands project="${project.id}"></many-hands>`)
      await refused(stranger.origin)
    } finally {
      await stranger.close()
    }
  })

  test('for a project that was revoked', async () => {
    const ended = await createProject(network, { name: 'Gone', origins: [site.origin] })
    site.show(`<many-hands project="${ended.id}"></many-hands>`)
    await visit()
    await ended.revoke()
    await refused(site.origin)
    await page.goto(`${network.url}/w/${version}/frame.html?project=${ended.id}`)
    await expect(page.locator('#over-title')).toHaveText('Can’t run here')
  })
})
