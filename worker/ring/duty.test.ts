import { describe, expect, it } from 'vitest'
import { DutyCycle, longestRestMs } from './duty.ts'

/** A peer under load for `forMs`, whose timers come late; the share of the time that it computed. */
function shareOver(forMs: number, power: number, runMs: () => number, lateMs: () => number): number {
  const duty = new DutyCycle()
  let now = 1_000
  const start = now
  duty.setPower(power, now)
  let busyMs = 0
  while (now - start < forMs) {
    const ms = runMs()
    now += ms
    busyMs += ms
    duty.ran(ms, now)
    const restMs = duty.restMs(now)
    if (restMs > 0) now += restMs + lateMs()
  }
  return busyMs / (now - start)
}

describe('[SE3] a volunteer’s power', () => {
  const never = () => 0
  it.each([0.1, 0.25, 0.5, 0.75, 0.9])('of %f is its share of computing over 20 s, whatever a run takes', (power) => {
    for (const ms of [0.3, 2, 30, 250, 900]) {
      const share = shareOver(20_000, power, () => ms, never)
      // One run too many fits in at the end, or one rest.
      expect(Math.abs(share - power)).toBeLessThan(0.1 * power + ms / 20_000)
    }
  })

  it('holds where timers come late, and where runs differ', () => {
    let n = 0
    const run = () => (n++ % 20 === 0 ? 300 : 5)
    const late = () => 1 + (n % 7) * 2
    for (const power of [0.2, 0.5]) expect(Math.abs(shareOver(20_000, power, run, late) - power)).toBeLessThan(0.1 * power)
  })

  it('of all is all: it never rests', () => {
    expect(
      shareOver(
        1_000,
        1,
        () => 5,
        () => 100,
      ),
    ).toBe(1)
  })

  it('asks for no rest that looks like death, and pays back a long prompt afterwards', () => {
    const duty = new DutyCycle()
    duty.setPower(0.1, 0)
    duty.ran(4_000, 4_000)
    expect(duty.restMs(4_000)).toBe(longestRestMs)
    duty.ran(10, 14_010)
    expect(duty.restMs(14_010)).toBe(longestRestMs)
  })

  it('saves up nothing while there is nothing to do, and owes nothing once it is set anew', () => {
    const duty = new DutyCycle()
    duty.setPower(0.5, 0)
    duty.ran(100, 100)
    // Idle for an hour.
    duty.ran(100, 3_600_000)
    duty.ran(1_000, 3_601_000)
    expect(duty.restMs(3_601_000)).toBeGreaterThan(700)
    duty.setPower(0.1, 3_601_000)
    expect(duty.restMs(3_601_000)).toBe(0)
  })
})
