import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { deferred } from '../../link/deferred.ts'
import type { Donation, DonationState, TabDonateOptions } from '../types.ts'
import { firstState } from './donation-state.ts'
import type { DeviceConditions } from './pause-policy.ts'
import type { SeatOptions } from './sole-giver.ts'
import { TabVolunteer } from './tab-donation.ts'

const hourMs = 3_600_000
const calm: DeviceConditions = { hidden: false, onBattery: false, saveData: false }

/** What a tab starts, as far as a tab sees it. */
class Started extends EventTarget implements Donation {
  state: DonationState
  readonly calls: string[] = []
  readonly options: TabDonateOptions

  constructor(options: TabDonateOptions) {
    super()
    this.options = options
    this.state = { ...firstState(options.power ?? 1), phase: 'serving', reason: 'Serves.' }
  }

  pause(reason?: string): void {
    this.calls.push(`pause: ${reason}`)
  }

  resume(): void {
    this.calls.push('resume')
  }

  setPower(power: number): void {
    this.state = { ...this.state, power }
  }

  async stop(mode?: string): Promise<void> {
    this.calls.push(`stop ${mode}`)
    this.state = { ...this.state, phase: 'stopped' }
  }
}

/** A tab, its device, and the other tabs of its browser. */
async function tab(options: Partial<TabDonateOptions> = {}, conditions = calm, taken = false) {
  const started: Started[] = []
  const device = { conditions, stop: vi.fn() }
  const free = deferred<void>()
  const stolen = deferred<void>()
  let sat = false
  const release = vi.fn()
  if (!taken) free.resolve()
  let heard = (): void => undefined
  const donation = new TabVolunteer(
    { server: 'https://hands.example', ...options },
    {
      start: (own) => {
        started.push(new Started(own))
        return started.at(-1) as Started
      },
      watchDevice: async (changed) => {
        heard = changed
        return device
      },
      soleGiver: async (_name, { busy, signal, steal }: SeatOptions) => {
        // Who lost the seat does not get it back here.
        if (!steal && (taken || sat)) busy()
        if (!steal) await (sat ? new Promise(() => undefined) : free.promise)
        sat = true
        return signal.aborted ? undefined : { lost: stolen.promise, release }
      },
      now: () => Date.now(),
    },
  )
  await settled()
  const becomes = (change: Partial<DeviceConditions>) => {
    device.conditions = { ...device.conditions, ...change }
    heard()
  }
  return { donation, started, device, becomes, free, stolen, release }
}

const settled = () => vi.advanceTimersByTimeAsync(0)

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('a tab that gives', () => {
  it('begins at once where nothing speaks against it', async () => {
    const { donation, started } = await tab({ power: 0.5 })
    expect(started.map(({ options }) => options.power)).toEqual([0.5])
    expect(donation.state.phase).toBe('serving')
  })

  it('begins nothing on a metered line, and begins when that is over', async () => {
    const { donation, started, becomes } = await tab({}, { ...calm, saveData: true })
    expect(started).toEqual([])
    expect(donation.state).toMatchObject({ phase: 'paused', paused: { by: 'save-data' } })
    donation.setPower(0.3)
    becomes({ saveData: false })
    expect(started[0]?.options.power).toBe(0.3)
    expect(donation.state.paused).toBeUndefined()
  })

  it('pauses and goes on with the device, and with what its person chooses', async () => {
    const { donation, started, becomes } = await tab()
    becomes({ onBattery: true })
    expect(donation.state).toMatchObject({ phase: 'paused', paused: { by: 'battery' } })
    expect(donation.state.reason).toMatch(/plugged in/)
    donation.setPauses({ onBattery: false })
    expect(donation.state.phase).toBe('serving')
    becomes({ hidden: true })
    expect(donation.state.phase).toBe('serving')
    donation.setPauses({ whileHidden: true })
    expect(donation.state.paused).toEqual({ by: 'hidden' })
    expect(started[0]?.calls.filter((call) => call.startsWith('pause'))).toHaveLength(2)
  })

  it('that its person paused for an hour goes on after it, or sooner at their word', async () => {
    const { donation } = await tab()
    donation.pause(undefined, hourMs)
    expect(donation.state.paused).toEqual({ by: 'person', until: Date.now() + hourMs })
    await vi.advanceTimersByTimeAsync(hourMs - 1)
    expect(donation.state.phase).toBe('paused')
    await vi.advanceTimersByTimeAsync(1)
    expect(donation.state.phase).toBe('serving')
    donation.pause('For now.')
    expect(donation.state.reason).toBe('For now.')
    donation.resume()
    expect(donation.state.phase).toBe('serving')
  })

  it('stops once, and hears of nothing after it', async () => {
    const { donation, started, device, release, becomes } = await tab()
    await donation.stop('finish')
    expect(started[0]?.calls.at(-1)).toBe('stop finish')
    expect(release).toHaveBeenCalledOnce()
    expect(device.stop).toHaveBeenCalledOnce()
    becomes({ onBattery: true })
    expect(donation.state.phase).toBe('stopped')
  })
})

describe('beside another tab that gives, a tab', () => {
  it('waits, says so, and takes over when that one ends', async () => {
    const { donation, started, free } = await tab({}, calm, true)
    expect(donation.state.phase).toBe('elsewhere')
    expect(started).toEqual([])
    free.resolve()
    await settled()
    expect(donation.state.phase).toBe('serving')
  })

  it('gives at its person’s word', async () => {
    const { donation, started } = await tab({}, calm, true)
    donation.giveHere()
    await settled()
    expect(started).toHaveLength(1)
    expect(donation.state.phase).toBe('serving')
  })

  it('that takes its place stops at once and waits in its turn', async () => {
    const { donation, started, stolen } = await tab()
    stolen.resolve()
    await settled()
    expect(started[0]?.calls).toEqual(['stop now'])
    expect(donation.state.phase).toBe('elsewhere')
  })

  it('stops waiting where its person wants it no more', async () => {
    const { donation, started, free } = await tab({}, calm, true)
    await donation.stop()
    free.resolve()
    await settled()
    expect(donation.state.phase).toBe('stopped')
    expect(started).toEqual([])
  })
})
