import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../protocol/errors.ts'
import { withHeader, writeSafetensors } from '../testing/safetensors-writer.ts'
import { tinyBert } from '../testing/tiny-bert.ts'
import { bytesSource } from './byte-source.ts'
import { isSafetensors, maxHeaderBytes, parseSafetensors, readSafetensors } from './safetensors.ts'

/** Mutations tried in all; MANYHANDS_FUZZ raises it. */
const fuzzRuns = Number(process.env['MANYHANDS_FUZZ'] ?? 50_000)

const small = writeSafetensors(
  [
    { name: 'first', dtype: 'F32', shape: [2, 3], bytes: new Uint8Array(24) },
    { name: 'second', dtype: 'BF16', shape: [], bytes: new Uint8Array(2) },
    { name: 'none', dtype: 'I64', shape: [0, 7], bytes: new Uint8Array() },
  ],
  { format: 'pt' },
)
const entry = (change: object = {}) => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...change })
const eight = new Uint8Array(8)

describe('reading a safetensors header', () => {
  it('gives metadata and tensors as they were written', () => {
    const { metadata, tensors } = parseSafetensors(small)
    expect(Object.fromEntries(metadata)).toEqual({ format: 'pt' })
    const start = small.length - 26
    expect([...tensors.values()]).toEqual([
      { name: 'first', type: 'F32', dims: [2, 3], offset: start, bytes: 24 },
      { name: 'second', type: 'BF16', dims: [], offset: start + 24, bytes: 2 },
      { name: 'none', type: 'I64', dims: [0, 7], offset: start + 26, bytes: 0 },
    ])
  })

  it('reads no more of a large file than its header, and tells the format by its first bytes', async () => {
    const { weights } = tinyBert({ hidden: 64 })
    let read = 0
    const whole = bytesSource(weights)
    const source = {
      ...whole,
      read: (offset: number, length: number) => {
        read += length
        return whole.read(offset, length)
      },
    }
    expect(await isSafetensors(source)).toBe(true)
    expect((await readSafetensors(source)).tensors.has('embeddings.word_embeddings.weight')).toBe(true)
    expect(read).toBeLessThan(weights.length / 4)
    for (const other of [new Uint8Array(4), new TextEncoder().encode('GGUF{{{{{{{{{{{'), new Uint8Array(64)])
      expect(await isSafetensors(bytesSource(other))).toBe(false)
  })

  it('refuses a file that is cut off anywhere, or that goes on', () => {
    for (let length = 0; length < small.length; length++)
      expect(() => parseSafetensors(small.subarray(0, length)), `${length} bytes`).toThrow(ManyhandsError)
    expect(() => parseSafetensors(new Uint8Array([...small, 0]))).toThrow('1 bytes follow')
  })

  it.each([
    ['a header of 2^60 bytes', new Uint8Array([0, 0, 0, 0, 0, 0, 0, 16, 0x7b]), `at most ${maxHeaderBytes}`],
    ['a header that is not JSON', withHeader('{"a": '), 'not JSON'],
    ['a header that is a list', withHeader([]), 'no JSON object'],
    ['metadata that is not text', withHeader({ __metadata__: { a: 1 } }), 'metadata'],
    ['an unknown type', withHeader({ a: entry({ dtype: 'F33' }) }, eight), 'tensor a: dtype'],
    ['more than a tensor has', withHeader({ a: entry({ colour: 'red' }) }, eight), 'tensor a: colour'],
    ['a negative dimension', withHeader({ a: entry({ shape: [-2] }) }, eight), 'tensor a: shape'],
    ['2^60 elements', withHeader({ a: entry({ shape: [2 ** 30, 2 ** 30] }) }, eight), 'but has 8'],
    ['fewer bytes than its shape', withHeader({ a: entry({ data_offsets: [0, 4] }) }, eight), 'takes 8 bytes, but has 4'],
    ['an end before its beginning', withHeader({ a: entry({ data_offsets: [8, 0] }) }, eight), 'but has -8'],
    ['two tensors over the same bytes', withHeader({ a: entry(), b: entry() }, eight), 'b overlaps another'],
    ['a gap', withHeader({ a: entry({ data_offsets: [8, 16] }) }, new Uint8Array(16)), 'after a gap'],
    ['less data than its tensors', withHeader({ a: entry() }), 'cut off'],
    ['a tensor without a name', withHeader({ '': entry() }, eight), 'name has 0'],
  ])('refuses %s', (_, file, why) => {
    expect(() => parseSafetensors(file)).toThrow(why)
  })

  it('takes no name for anything else than a name', () => {
    const header = JSON.stringify({ constructor: entry(), a: entry({ data_offsets: [8, 16] }) }).replace('"a"', '"__proto__"')
    const { tensors } = parseSafetensors(withHeader(header, new Uint8Array(16)))
    expect([...tensors.keys()]).toEqual(['constructor', '__proto__'])
  })

  it('gives a typed error or a sound header on spoiled files, quickly', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(small.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = small.slice()
        for (const [at, value] of changes) bytes[at] = value
        expectSound(bytes)
      }),
      { numRuns: Math.floor(fuzzRuns * 0.7) },
    )
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.oneof(fc.jsonValue(), fc.constant(entry()))),
        fc.uint8Array({ maxLength: 16 }),
        (header, data) => {
          expectSound(withHeader(header, data))
        },
      ),
      { numRuns: Math.ceil(fuzzRuns * 0.3) },
    )
  })
})

function expectSound(bytes: Uint8Array): void {
  try {
    for (const tensor of parseSafetensors(bytes).tensors.values())
      if (tensor.offset + tensor.bytes > bytes.length) throw new Error(`${tensor.name} leaves the file`)
  } catch (thrown) {
    if (!(thrown instanceof ManyhandsError && thrown.code === 'bad-model')) throw thrown
  }
}
