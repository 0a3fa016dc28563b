import { expect, it } from 'vitest'
import { RateMeter, secondsLeft } from './rates.ts'

it('a rate covers the last seconds and starts anew with a new stage', () => {
  const meter = new RateMeter()
  expect(meter.add(0, 0)).toBe(0)
  expect(meter.add(100, 1000)).toBe(100)
  for (let s = 2; s <= 20; s++) meter.add(100 + (s - 1) * 10, s * 1000)
  expect(meter.add(300, 21_000)).toBeLessThan(20)
  expect(meter.add(5, 22_000)).toBe(0)
})

it('the time left is told once there is something to judge by', () => {
  expect(secondsLeft(0, 100, 5000)).toBeUndefined()
  expect(secondsLeft(50, 100, 100)).toBeUndefined()
  expect(secondsLeft(25, 100, 1000)).toBe(3)
  expect(secondsLeft(100, 100, 1000)).toBeUndefined()
})
