import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import { writeGguf } from '../testing/gguf-writer.ts'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { bytesSource, type ByteSource } from './byte-source.ts'
import { parseGguf, readGguf } from './gguf.ts'

const file = tinyLlama({ layers: 1 })
/** Mutations tried in all; MANYHANDS_FUZZ raises it. */
const fuzzRuns = Number(process.env['MANYHANDS_FUZZ'] ?? 100_000)

/** Small enough to be parsed 10^5 times in seconds, with every kind of value in it. */
const small = writeGguf(
  [
    { key: 'a.text', type: 'text', value: 'héllo' },
    { key: 'a.number', type: 'u32', value: 7 },
    { key: 'a.real', type: 'f32', value: 0.5 },
    { key: 'a.flag', type: 'bool', value: true },
    { key: 'a.texts', type: 'texts', value: ['one', 'two'] },
    { key: 'a.numbers', type: 'i32s', value: [1, -2, 3] },
  ],
  [
    { name: 'first', type: 0, dims: [2, 3], bytes: new Uint8Array(24) },
    { name: 'second', type: 3, dims: [2, 32], bytes: new Uint8Array(40) },
  ],
)

describe('reading a GGUF header', () => {
  it('gives metadata and tensors as they were written', () => {
    const { metadata, tensors } = parseGguf(small)
    expect(Object.fromEntries(metadata)).toEqual({
      'a.text': 'héllo',
      'a.number': 7,
      'a.real': 0.5,
      'a.flag': true,
      'a.texts': ['one', 'two'],
      'a.numbers': [1, -2, 3],
    })
    expect(tensors.get('first')).toMatchObject({ dims: [2, 3], bytes: 24 })
    const second = tensors.get('second')
    expect(second).toMatchObject({ dims: [2, 32], bytes: 40 })
    expect(second?.type.name).toBe('Q4_1')
    expect((second?.offset ?? 0) + 40 <= small.length).toBe(true)
  })

  it('reads no more of a large file than its header', async () => {
    let read = 0
    const whole = bytesSource(small)
    const size = 10 ** 9
    const source: ByteSource = {
      ...whole,
      size,
      read: async (offset, length) => {
        read += length
        const bytes = new Uint8Array(length)
        if (offset < small.length) bytes.set(small.subarray(offset, offset + length))
        return bytes
      },
    }
    expect((await readGguf(source)).tensors.size).toBe(2)
    expect(read).toBeLessThan(5_000_000)
  })

  it('refuses a file that is cut off anywhere', () => {
    for (let length = 0; length < small.length - 24; length++)
      expect(() => parseGguf(small.subarray(0, length)), `${length} bytes`).toThrow(ManyhandsError)
  })

  it.each([
    ['another format', (b: Uint8Array) => b.set([0x50, 0x4b], 0), 'does not begin with GGUF'],
    ['a future version', (b: Uint8Array) => b.set([9], 4), 'version 9'],
    ['a trillion tensors', (b: Uint8Array) => b.set([0, 0, 0, 0, 0, 1], 8), 'tensors; at most'],
    ['a trillion entries', (b: Uint8Array) => b.set([0, 0, 0, 0, 0, 1], 16), 'metadata entries; at most'],
    ['a name longer than any', (b: Uint8Array) => b.set([0, 0, 0, 0, 1], 24), 'bytes of a name'],
  ])('refuses %s', (_, spoil, why) => {
    const bytes = small.slice()
    spoil(bytes)
    expect(() => parseGguf(bytes)).toThrow(why)
  })

  it('refuses tensors that overlap, leave the file, or have absurd dimensions', () => {
    const at = (name: string) => Buffer.from(small).indexOf(name)
    const spoiled = (index: number, value: number) => {
      const bytes = small.slice()
      new DataView(bytes.buffer).setBigUint64(index, BigInt(value), true)
      return bytes
    }
    // After the name: rank u32, dims u64 each, type u32, offset u64.
    const second = at('second') + 6
    expect(() => parseGguf(spoiled(second + 4 + 16 + 4, 0))).toThrow('overlaps')
    expect(() => parseGguf(spoiled(second + 4 + 16 + 4, 2 ** 40))).toThrow('cut off')
    expect(() => parseGguf(spoiled(second + 4 + 16 + 4, 33))).toThrow('aligned')
    expect(() => parseGguf(spoiled(second + 4, 2 ** 50))).toThrow('dimension')
    expect(() => parseGguf(spoiled(second + 4, 0))).toThrow('dimension')
    expect(() => parseGguf(spoiled(second + 4, 33))).toThrow('multiple of 32')
  })

  it('gives a typed error or a sound header on spoiled files, quickly', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(small.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = small.slice()
        for (const [at, value] of changes) bytes[at] = value
        expectSound(bytes)
      }),
      { numRuns: Math.floor(fuzzRuns * 0.8) },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(small.length), (random, keep) => {
        expectSound(new Uint8Array([...small.subarray(0, keep), ...random]))
      }),
      { numRuns: Math.ceil(fuzzRuns * 0.2) },
    )
  })

  it('reads a real model file with the same code', () => {
    expect(parseGguf(file).tensors.size).toBe(2 + 9)
  })
})

function expectSound(bytes: Uint8Array): void {
  try {
    for (const tensor of parseGguf(bytes).tensors.values())
      if (tensor.offset + tensor.bytes > bytes.length) throw new Error(`${tensor.name} leaves the file`)
  } catch (thrown) {
    if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-model')) throw thrown
  }
}
