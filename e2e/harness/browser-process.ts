/**
 * One Chromium of its own, with its own processes and profile, driven over its debugging port, so that it can be killed or
 * frozen like a stranger's machine.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright'
import { findBrowser } from '../../scripts/setup/browser.mjs'
import { ProcessGroup } from './process-group.ts'

export interface BrowserOptions {
  /** A profile to keep: a second visit with the same one finds what the first has stored. Absent: a fresh one, removed at the end. */
  readonly profile?: string
  /** With a software GPU (SwiftShader) for WebGPU. */
  readonly webgpu?: boolean
  readonly colorScheme?: 'light' | 'dark'
  readonly signal?: AbortSignal
}

export interface BrowserProcess {
  readonly group: ProcessGroup
  readonly context: BrowserContext
  readonly page: Page
  /** Errors that the console showed, and uncaught ones. */
  readonly problems: readonly string[]
  /** Ends it and removes what it left behind. Safe to call twice. */
  close(): Promise<void>
}

/** Until the debugging port answers; a cold Chromium on a busy machine takes seconds. */
const startMs = 60_000

const flags = [
  '--headless',
  '--remote-debugging-port=0',
  '--no-first-run',
  '--no-default-browser-check',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--disable-breakpad',
  '--disable-search-engine-choice-screen',
  '--password-store=basic',
  '--mute-audio',
  '--hide-scrollbars',
  // Peers on one machine, which may have no network beyond loopback: addresses as they are, loopback's too.
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns,Translate,MediaRouter,OptimizationHints',
]

export async function startBrowser(options: BrowserOptions = {}): Promise<BrowserProcess> {
  const { webgpu = false, colorScheme = 'light', signal } = options
  signal?.throwIfAborted()
  const executable = await findBrowser()
  if (!executable) throw new Error('There is no Chromium. Run: node scripts/setup.mjs')
  const profile = options.profile ?? (await mkdtemp(join(tmpdir(), 'manyhands-browser-')))
  const args = [...flags, `--user-data-dir=${profile}`]
  if (webgpu) args.push('--enable-unsafe-webgpu')
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  const group = new ProcessGroup('Chromium', executable, [...args, 'about:blank'])
  let browser: Browser | undefined
  const close = async () => {
    await group.end(() => {
      const asked = browser?.newBrowserCDPSession().then((session) => session.send('Browser.close'))
      if (asked) asked.catch(() => undefined)
      else group.signal('SIGTERM')
    })
    await browser?.close().catch(() => undefined)
    if (!options.profile) await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const [, url = ''] = await group.says(/DevTools listening on (ws:\S+)/, startMs, signal)
    browser = await chromium.connectOverCDP(url, { timeout: startMs })
    const context = browser.contexts()[0]
    if (!context) throw new Error('Chromium started without a window.')
    // Without a default route Chromium names its addresses only to pages that may use camera and microphone.
    if (onLoopbackAlone()) await context.grantPermissions(['camera', 'microphone'])
    // A machine that happens to run on its battery would pause every volunteer.
    await context.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, 'getBattery'))
    const problems: string[] = []
    context.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    context.on('weberror', (error) => problems.push(String(error.error())))
    const page = context.pages()[0] ?? (await context.newPage())
    await page.emulateMedia({ colorScheme })
    return { group, context, page, problems, close }
  } catch (error) {
    await close()
    throw error
  }
}

const onLoopbackAlone = () =>
  Object.values(networkInterfaces())
    .flat()
    .every((address) => address?.internal ?? true)
