import { describe, expect, it } from 'vitest'
import { ManyhandsError } from '../../protocol/errors.ts'
import { everythingModel, fusedDecoder } from '../../testing/sample-graphs.ts'
import { readModel } from './read.ts'
import { WireWriter } from './wire-writer.ts'
import { writeModel } from './write.ts'

/** A model whose graph's fields `write` gives. */
function fileOf(write: (w: WireWriter) => void): Uint8Array {
  const w = new WireWriter(0)
  w.message(7, () => write(w))
  return w.finish()
}
const initializerOf = (write: (w: WireWriter) => void) => fileOf((w) => w.message(5, () => write(w)))
const readTensor = (write: (w: WireWriter) => void) => readModel(initializerOf(write)).graph.initializers[0]

function refusal(read: () => unknown): string {
  try {
    read()
  } catch (thrown) {
    if (thrown instanceof ManyhandsError && thrown.code === 'bad-model') return thrown.message
    throw thrown
  }
  return 'none'
}

describe('reading and writing ONNX', () => {
  it('gives back what was written', () => {
    for (const model of [everythingModel(), fusedDecoder(2)]) expect(readModel(writeModel(model))).toEqual(model)
  })

  it('writes the same bytes for the same model', () => {
    const bytes = writeModel(everythingModel())
    expect(writeModel(readModel(bytes))).toEqual(bytes)
  })

  it('keeps raw weights as views into the file', () => {
    const bytes = writeModel(fusedDecoder(1))
    const { data } = readModel(bytes).graph.initializers[0] ?? {}
    expect(data?.kind === 'raw' && data.bytes.buffer).toBe(bytes.buffer)
  })

  it('steps over fields that it does not know', () => {
    const w = new WireWriter(0)
    w.string(4000, 'from the future')
    w.message(7, () => {
      w.float(3000, 1)
      w.string(2, 'g')
    })
    expect(readModel(w.finish()).graph.name).toBe('g')
  })

  it.each([
    ['float_data', 'float32', 1, [2], (w: WireWriter) => w.floats(4, Float32Array.of(1.5, -2)), new Float32Array([1.5, -2])],
    ['int64_data', 'int64', 7, [2], (w: WireWriter) => w.int64s(7, [-1n, 5n]), new BigInt64Array([-1n, 5n])],
    ['int32_data', 'int32', 6, [2], (w: WireWriter) => w.int64s(5, [-1, 7]), new Int32Array([-1, 7])],
    ['int32_data of bytes', 'int8', 3, [3], (w: WireWriter) => w.int64s(5, [-1, 7, -128]), new Int8Array([-1, 7, -128])],
    ['int32_data of half floats', 'float16', 10, [2], (w: WireWriter) => w.int64s(5, [0x3c00, 0xbc00]), new Uint16Array([0x3c00, 0xbc00])],
    ['uint64_data', 'uint32', 12, [1], (w: WireWriter) => w.int64s(11, [4294967295]), new Uint32Array([4294967295])],
  ] as const)('brings %s to raw bytes', (_, dtype, number, dims, write, values) => {
    const tensor = readTensor((w) => {
      write(w)
      w.int(2, number)
      w.int64s(1, dims)
    })
    expect(tensor).toMatchObject({ dtype, dims })
    expect(tensor?.data.kind === 'raw' && [...tensor.data.bytes]).toEqual([...new Uint8Array(values.buffer)])
  })

  it('takes attributes without a type, as the first exporters wrote them, for what they hold', () => {
    const file = fileOf((w) =>
      w.message(1, () => {
        w.message(5, () => {
          w.int64s(8, [1n, 2n])
          w.string(1, 'pads')
        })
        w.string(4, 'Pad')
      }),
    )
    expect(readModel(file).graph.nodes[0]?.attributes.get('pads')).toEqual({ type: 'ints', value: BigInt64Array.of(1n, 2n) })
  })
})

describe('hostile ONNX', () => {
  it('cut short anywhere is read as it is or refused', () => {
    const bytes = writeModel(everythingModel())
    for (let length = 0; length < bytes.length; length++) refusal(() => readModel(bytes.subarray(0, length)))
    expect(refusal(() => readModel(bytes.subarray(0, bytes.length >> 1)))).toMatch(/past the end/)
  })

  it.each([
    ['nothing at all', new Uint8Array(), /no graph/],
    ['text', new TextEncoder().encode('<!doctype html>'), /ONNX/],
    ['a length of 4 GiB', Uint8Array.of(58, 255, 255, 255, 255, 15), /past the end/],
    ['a number of eleven bytes', Uint8Array.of(8, ...Array.from({ length: 10 }, () => 255), 1), /ten bytes/],
    ['a field without a number', Uint8Array.of(2, 0), /no number/],
    ['two graphs', Uint8Array.of(58, 0, 58, 0), /two graphs/],
    ['a name that is no text', fileOf((w) => w.bytes(2, Uint8Array.of(255, 254))), /UTF-8/],
    [
      'a tensor of 2^64 elements',
      initializerOf((w) => {
        w.int(2, 1)
        w.int64s(1, [2 ** 32, 2 ** 32])
      }),
      /impossible shape/,
    ],
    ['a negative size', initializerOf((w) => w.int64s(1, [-1])), /impossible shape/],
    [
      'fewer bytes than the shape says',
      initializerOf((w) => {
        w.bytes(9, new Uint8Array(3))
        w.int(2, 1)
        w.int(1, 1)
      }),
      /takes 4 bytes, but has 3/,
    ],
    ['an element type of the future', initializerOf((w) => w.int(2, 99)), /element type 99/],
    ['a hundred axes', initializerOf((w) => w.int64s(1, new Array<number>(100).fill(1))), /axes/],
    ['weights at no location', initializerOf((w) => w.int(14, 1)), /no location/],
  ])('%s is refused', (_, bytes, why) => {
    expect(refusal(() => readModel(bytes))).toMatch(why)
  })

  it('sub-graphs without end are refused before the stack is', () => {
    const w = new WireWriter(0)
    const nest = (depth: number): void => {
      if (depth > 0) w.message(1, () => w.message(5, () => w.message(6, () => nest(depth - 1))))
    }
    w.message(7, () => nest(1000))
    expect(refusal(() => readModel(w.finish()))).toMatch(/nested deeper/)
  })

  it('more parts than any model has are refused before memory is gone', () => {
    const nodes = new Uint8Array(2 * 3_000_000)
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = 10
    const w = new WireWriter(0)
    w.bytes(7, nodes)
    expect(refusal(() => readModel(w.finish()))).toMatch(/more than/)
  })
})
