import { describe, expect, it } from 'vitest'
import { calmMs, pauseCause, usualPauses, type DeviceConditions, type PauseChoices } from './pause-policy.ts'

const now = 1_000_000
const calm: DeviceConditions = { hidden: false, onBattery: false, saveData: false }
const every: PauseChoices = { onBattery: true, onSaveData: true, onPressure: true, whileHidden: true }
const none: PauseChoices = { onBattery: false, onSaveData: false, onPressure: false, whileHidden: false }

describe('a volunteer pauses', () => {
  it('for each thing that its person chose, and for nothing else', () => {
    const troubled: DeviceConditions = { hidden: true, onBattery: true, saveData: true, pressure: { high: true, since: now } }
    expect(pauseCause(none, troubled, undefined, now)).toBeUndefined()
    expect(pauseCause(every, calm, undefined, now)).toBeUndefined()
    expect(pauseCause({ ...none, onBattery: true }, troubled, undefined, now)).toEqual({ by: 'battery' })
    expect(pauseCause({ ...none, onSaveData: true }, troubled, undefined, now)).toEqual({ by: 'save-data' })
    expect(pauseCause({ ...none, onPressure: true }, { ...troubled, hidden: false }, undefined, now)).toEqual({ by: 'pressure' })
    expect(pauseCause({ ...none, whileHidden: true }, troubled, undefined, now)).toEqual({ by: 'hidden' })
  })

  it('for nothing that the browser does not tell', () => {
    expect(pauseCause(every, { hidden: false }, undefined, now)).toBeUndefined()
  })

  it('on battery and on Save-Data where nobody chose, and not for being hidden or busy', () => {
    expect(pauseCause(usualPauses, { ...calm, onBattery: true }, undefined, now)?.by).toBe('battery')
    expect(pauseCause(usualPauses, { ...calm, saveData: true }, undefined, now)?.by).toBe('save-data')
    expect(pauseCause(usualPauses, { ...calm, hidden: true, pressure: { high: true, since: now } }, undefined, now)).toBeUndefined()
  })

  it('at its person’s word before anything else, for an hour where they said so', () => {
    const onBattery = { ...calm, onBattery: true }
    expect(pauseCause(every, onBattery, {}, now)).toEqual({ by: 'person' })
    const hour = { until: now + 3_600_000 }
    expect(pauseCause(every, calm, hour, now)).toEqual({ by: 'person', until: hour.until })
    expect(pauseCause(every, calm, hour, hour.until)).toBeUndefined()
    expect(pauseCause(every, onBattery, hour, hour.until)).toEqual({ by: 'battery' })
  })
})

describe('pressure', () => {
  const chosen = { ...none, onPressure: true }
  const under = (high: boolean, hidden = false): DeviceConditions => ({ hidden, pressure: { high, since: now } })

  it('that eased has to stay so for a while, and the time when it goes on is known', () => {
    expect(pauseCause(chosen, under(false), undefined, now + calmMs - 1)).toEqual({ by: 'pressure', until: now + calmMs })
    expect(pauseCause(chosen, under(false), undefined, now + calmMs)).toBeUndefined()
  })

  it('holds for as long as it lasts, but not in a hidden page, which would not hear of its end', () => {
    expect(pauseCause(chosen, under(true), undefined, now + 10 * calmMs)).toEqual({ by: 'pressure' })
    expect(pauseCause(chosen, under(true, true), undefined, now)).toEqual({ by: 'pressure', until: now + calmMs })
    expect(pauseCause(chosen, under(true, true), undefined, now + calmMs)).toBeUndefined()
  })
})
