/**
 * Listens to what a browser tells of its device: battery, Save-Data, pressure, whether the page is in front. Each where the browser
 * has it; nothing is asked before the first call.
 */
import type { DeviceConditions } from './pause-policy.ts'

/** Not every browser has these, and TypeScript's library knows none of them. */
interface BatteryManager extends EventTarget {
  readonly charging: boolean
}
interface PressureRecord {
  readonly state: 'nominal' | 'fair' | 'serious' | 'critical'
}
interface PressureObserver {
  observe(source: 'cpu', options: { sampleInterval: number }): Promise<void>
  disconnect(): void
}
interface Platform {
  readonly navigator: {
    getBattery?(): Promise<BatteryManager>
    readonly connection?: EventTarget & { readonly saveData?: boolean }
  }
  readonly PressureObserver?: new (heard: (records: readonly PressureRecord[]) => void) => PressureObserver
}

export interface WatchedDevice {
  readonly conditions: DeviceConditions
  stop(): void
}

/** Often enough to notice, seldom enough to cost nothing. */
const pressureSampleMs = 2_000

/** Resolves once everything that the browser tells at once is known. */
export async function watchDevice(changed: () => void): Promise<WatchedDevice> {
  const { navigator, PressureObserver } = globalThis as unknown as Platform
  const stopping = new AbortController()
  const { signal } = stopping
  const watched: { conditions: DeviceConditions; stop(): void } = { conditions: { hidden: false }, stop: () => stopping.abort() }
  const set = (change: Partial<DeviceConditions>) => {
    watched.conditions = { ...watched.conditions, ...change }
    changed()
  }

  const visibility = () => set({ hidden: document.visibilityState === 'hidden' })
  document.addEventListener('visibilitychange', visibility, { signal })
  visibility()

  const { connection } = navigator
  const saving = () => set({ saveData: connection?.saveData === true })
  connection?.addEventListener('change', saving, { signal })
  if (connection) saving()

  if (PressureObserver) {
    const observer = new PressureObserver((records) => {
      const last = records.at(-1)
      if (last) set({ pressure: { high: last.state === 'serious' || last.state === 'critical', since: Date.now() } })
    })
    signal.addEventListener('abort', () => observer.disconnect())
    // A policy or a missing sensor refuses it: then nothing is told of pressure.
    observer.observe('cpu', { sampleInterval: pressureSampleMs }).catch(() => undefined)
  }

  const battery = await navigator.getBattery?.().catch(() => undefined)
  const charging = () => set({ onBattery: battery?.charging === false })
  battery?.addEventListener('chargingchange', charging, { signal })
  if (battery) charging()
  return watched
}
