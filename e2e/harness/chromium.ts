/** A Chromium of its own, with its own processes and profile, and its debugging port open; who drives it is another matter. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findBrowser } from '../../scripts/setup/browser.mjs'
import { ProcessGroup } from './process-group.ts'

export interface ChromiumOptions {
  /** A profile to keep: a second visit with the same one finds what the first has stored. Absent: a fresh one, removed at the end. */
  readonly profile?: string
  /** With a software GPU (SwiftShader) for WebGPU. */
  readonly webgpu?: boolean
  readonly signal?: AbortSignal
}

export interface Chromium {
  readonly group: ProcessGroup
  /** Of the debugging port: `ws://…`. */
  readonly url: string
  /** Ends it and removes what it left behind; `ask` asks it to close first. Safe to call twice. */
  close(ask?: () => void): Promise<void>
}

/** Until the debugging port answers; a cold Chromium on a busy machine takes seconds. */
export const startMs = 60_000

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

export async function startChromium({ profile: kept, webgpu = false, signal }: ChromiumOptions): Promise<Chromium> {
  const executable = await findBrowser()
  if (!executable) throw new Error('There is no Chromium. Run: node scripts/setup.mjs')
  const profile = kept ?? (await mkdtemp(join(tmpdir(), 'manyhands-browser-')))
  const args = [...flags, `--user-data-dir=${profile}`]
  if (webgpu) args.push('--enable-unsafe-webgpu')
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  const group = new ProcessGroup('Chromium', executable, [...args, 'about:blank'])
  const close = async (ask = () => group.signal('SIGTERM')) => {
    await group.end(ask)
    if (!kept) await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const [, url = ''] = await group.says(/DevTools listening on (ws:\S+)/, startMs, signal)
    return { group, url, close }
  } catch (error) {
    await close()
    throw error
  }
}
