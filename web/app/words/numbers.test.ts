import { describe, expect, it } from 'vitest'
import { blocks, bytes, count, duration, median, memory, moment, percent, rate, short } from './numbers.ts'

describe('numbers as people read them', () => {
  it('says bytes in three digits and never 1000 of a unit', () => {
    expect([0, 812, 1200, 53_123_456, 999_600, 1.24e9].map(bytes)).toEqual(['0 B', '812 B', '1.2 kB', '53.1 MB', '1 MB', '1.24 GB'])
    expect(bytes(-5)).toBe('0 B')
  })

  it('says memory in the powers of two that people choose from', () => {
    expect([256, 512, 1024, 4096].map((mebibytes) => memory(mebibytes * 2 ** 20))).toEqual(['256 MB', '512 MB', '1 GB', '4 GB'])
  })

  it('says durations in their two largest units', () => {
    expect([0, 8.4, 60, 125, 3600, 11_400].map(duration)).toEqual(['0 s', '8 s', '1 min', '2 min 5 s', '1 h', '3 h 10 min'])
    expect([0.84, 640, 1400, 999.7, 125_000].map(moment)).toEqual(['0.8 ms', '640 ms', '1.4 s', '1.0 s', '2 min 5 s'])
  })

  it('says rates, shares and counts', () => {
    expect([0, 7.42, 128.3].map(rate)).toEqual(['0', '7.4', '128'])
    expect(percent(0.35)).toBe('35 %')
    expect(count(1200)).toBe('1,200')
  })

  it('counts blocks from one and shortens ids', () => {
    expect([blocks([0, 1]), blocks([10, 20])]).toEqual(['block 1', 'blocks 11–20'])
    expect(short('0123456789abcdef')).toBe('01234567')
  })

  it('finds the middle of any number of values', () => {
    expect([median([]), median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([undefined, 2, 2.5])
  })
})
