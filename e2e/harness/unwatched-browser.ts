/**
 * A Chromium whose tabs are in front or behind as a person's are, and can be frozen there: Playwright tells every page that it drives
 * that it is in front. Spoken to by the debugging protocol alone.
 */
import { WebSocket } from 'ws'
import { onLoopbackAlone } from './browser-process.ts'
import { startChromium } from './chromium.ts'

export interface UnwatchedTab {
  /** In the page; what goes in and comes back is JSON. It names no function: the loader that runs us would add a helper that isn't there. */
  evaluate<T>(work: () => T | Promise<T>): Promise<T>
  evaluate<T, A>(work: (arg: A) => T | Promise<T>, arg: A): Promise<T>
  /** Until it is true in the page. */
  until(work: () => boolean, timeoutMs?: number): Promise<void>
  /** The other tabs of the browser are behind from then on. */
  bringToFront(): Promise<void>
  /** As a browser does with tabs long behind: nothing runs, in its workers neither. */
  setFrozen(frozen: boolean): Promise<void>
  close(): Promise<void>
}

export interface UnwatchedBrowser {
  open(url: string): Promise<UnwatchedTab>
  close(): Promise<void>
}

type Reply = { readonly id: number; readonly result?: Record<string, unknown>; readonly error?: { readonly message: string } }

/** Of a page that loads or gives on a busy machine. */
const usualMs = 60_000
const againMs = 200

export async function startUnwatched(): Promise<UnwatchedBrowser> {
  const chromium = await startChromium({})
  const socket = new WebSocket(chromium.url, { perMessageDeflate: false })
  const waiting = new Map<number, { resolve: (result: Record<string, unknown>) => void; reject: (error: Error) => void }>()
  let last = 0
  const send = (method: string, params: object = {}, sessionId?: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }))
    })
  socket.on('message', (data: Buffer) => {
    const { id, result = {}, error } = JSON.parse(data.toString()) as Reply
    const asked = waiting.get(id)
    waiting.delete(id)
    if (error) asked?.reject(new Error(error.message))
    else asked?.resolve(result)
  })
  const close = async () => {
    socket.close()
    await chromium.close()
  }
  try {
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    // Without a default route Chromium names its addresses only to pages that may use camera and microphone.
    if (onLoopbackAlone()) await send('Browser.grantPermissions', { permissions: ['videoCapture', 'audioCapture'] })
    return { open: (url) => openTab(send, url), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function openTab(
  send: (method: string, params?: object, sessionId?: string) => Promise<Record<string, unknown>>,
  url: string,
): Promise<UnwatchedTab> {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = (await send('Target.attachToTarget', { targetId, flatten: true })) as { sessionId: string }
  const say = (method: string, params: object = {}) => send(method, params, sessionId)
  await say('Page.enable')
  const withoutBattery = "Reflect.deleteProperty(Navigator.prototype, 'getBattery')"
  await say('Page.addScriptToEvaluateOnNewDocument', { source: withoutBattery })
  await say('Page.navigate', { url })
  const tab: UnwatchedTab = {
    evaluate: async (work: (arg: never) => unknown, arg?: unknown) => {
      const { result, exceptionDetails } = await say('Runtime.evaluate', {
        expression: `(${String(work)})(${JSON.stringify(arg) ?? ''})`,
        awaitPromise: true,
        returnByValue: true,
      })
      if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails))
      return (result as { value: never }).value
    },
    until: async (work, timeoutMs = usualMs) => {
      for (const end = performance.now() + timeoutMs; ; await new Promise((resolve) => setTimeout(resolve, againMs))) {
        if (await tab.evaluate(work)) return
        if (performance.now() > end) throw new Error(`Not so within ${timeoutMs / 1000} s: ${String(work)}`)
      }
    },
    bringToFront: async () => void (await say('Page.bringToFront')),
    setFrozen: async (frozen) => void (await say('Page.setWebLifecycleState', { state: frozen ? 'frozen' : 'active' })),
    close: async () => void (await send('Target.closeTarget', { targetId })),
  }
  await tab.until(() => document.readyState === 'complete' && location.href !== 'about:blank')
  return tab
}
