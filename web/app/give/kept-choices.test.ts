import { expect, it } from 'vitest'
import { asChoices, memoryChoices, usualChoices } from './kept-choices.ts'

it('choices that were kept come back as they were', () => {
  const choices = {
    memory: memoryChoices[0],
    power: 0.35,
    pauses: { onBattery: false, onSaveData: true, onPressure: true, whileHidden: true },
  }
  expect(asChoices(JSON.parse(JSON.stringify(choices)))).toEqual(choices)
})

it('what makes no sense is as usual, and spoils nothing beside it', () => {
  for (const odd of [undefined, null, 7, 'x', [], {}]) expect(asChoices(odd)).toEqual(usualChoices)
  expect(asChoices({ memory: 1, power: 0, pauses: 3 })).toEqual(usualChoices)
  expect(asChoices({ memory: '512', power: 0.5, pauses: { onBattery: 'no', whileHidden: true } })).toEqual({
    ...usualChoices,
    power: 0.5,
    pauses: { ...usualChoices.pauses, whileHidden: true },
  })
})
