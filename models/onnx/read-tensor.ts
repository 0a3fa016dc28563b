/**
 * TensorProto: raw bytes as a view, typed fields brought to the same little-endian bytes, external data by location.
 * The bytes must be as many as shape and type ask for.
 */
import { concatBytes } from '../../protocol/bytes.ts'
import { badModel } from './bad-model.ts'
import { elementBits, elementCountOf, elementTypeOf, rawLength, type ElementType } from './element-types.ts'
import type { Tensor, TensorData } from './model.ts'
import { Int64List, type WireReader } from './wire-reader.ts'

const nowhere = new Map<string, string>()

/** Axes of a tensor in a file: runtimes stop at 8, exporters at less. */
export const maxDims = 64

export function readTensor(r: WireReader): Tensor {
  let name = ''
  let typeNumber = 0
  let raw: Uint8Array | undefined
  let external = false
  const dims = new Int64List()
  const floats: Uint8Array[] = []
  const doubles: Uint8Array[] = []
  const ints = new Int64List()
  const strings: Uint8Array[] = []
  let place = nowhere
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag >>> 3) {
      case 1:
        r.int64s(tag, dims)
        break
      case 2:
        typeNumber = r.int(tag)
        break
      case 3:
        throw badModel('a tensor comes in segments, which no runtime reads')
      case 4:
        floats.push(r.fixed(tag, 4))
        break
      case 5: // int32_data
      case 7: // int64_data
      case 11: // uint64_data
        r.int64s(tag, ints)
        break
      case 6:
        strings.push(r.bytes(tag))
        break
      case 8:
        name = r.string(tag)
        break
      case 9:
        raw = r.bytes(tag)
        break
      case 10:
        doubles.push(r.fixed(tag, 8))
        break
      case 13: {
        const [key, value] = r.message(tag, readEntry)
        if (place === nowhere) place = new Map()
        place.set(key, value)
        break
      }
      case 14:
        external = r.int(tag) === 1
        break
      default:
        r.skip(tag)
    }
  }
  const dtype = elementTypeOf(typeNumber)
  const shape = shapeOf(name, dims)
  const count = elementCountOf(shape)
  const data = external ? externalData(name, dtype, count, place) : storedData(dtype, raw, strings, floats, doubles, ints.values())
  checkLength(name, dtype, shape, data)
  return { name, dtype, dims: shape, data }
}

/** Of a sparse initializer its name and shape; the rest is kept as it is. */
export function readSparse(r: WireReader): Tensor {
  const start = r.position
  let values: Tensor | undefined
  const dims = new Int64List()
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) values = r.message(tag, readTensor)
    else if (tag >>> 3 === 3) r.int64s(tag, dims)
    else r.skip(tag)
  }
  if (!values) throw badModel('a sparse tensor has no values')
  return { name: values.name, dtype: values.dtype, dims: shapeOf(values.name, dims), data: { kind: 'sparse', bytes: r.since(start) } }
}

export function readEntry(r: WireReader): [string, string] {
  let key = ''
  let value = ''
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) key = r.string(tag)
    else if (tag >>> 3 === 2) value = r.string(tag)
    else r.skip(tag)
  }
  return [key, value]
}

function shapeOf(name: string, list: Int64List): number[] {
  if (list.length > maxDims) throw badModel(`tensor ${name} has more than ${maxDims} axes`)
  const dims = Array.from(list.values(), Number)
  if (dims.some((d) => d < 0 || !Number.isSafeInteger(d)) || !Number.isSafeInteger(elementCountOf(dims))) {
    throw badModel(`tensor ${name} has the impossible shape [${dims.join(', ')}]`)
  }
  return dims
}

function externalData(name: string, dtype: ElementType, count: number, place: ReadonlyMap<string, string>): TensorData {
  const location = place.get('location')
  if (!location) throw badModel(`tensor ${name} lies outside the file, at no location`)
  const number = (key: string, otherwise: number) => {
    const value = place.get(key)
    if (value === undefined) return otherwise
    const parsed = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN
    if (!Number.isSafeInteger(parsed)) throw badModel(`tensor ${name} has the ${key} ${value.slice(0, 40)} in its file`)
    return parsed
  }
  return { kind: 'external', location, offset: number('offset', 0), length: number('length', rawLength(dtype, count)) }
}

function storedData(
  dtype: ElementType,
  raw: Uint8Array | undefined,
  strings: readonly Uint8Array[],
  floats: readonly Uint8Array[],
  doubles: readonly Uint8Array[],
  ints: BigInt64Array,
): TensorData {
  if (dtype === 'string') return { kind: 'strings', values: strings }
  if (raw) return { kind: 'raw', bytes: raw }
  if (floats.length > 0) return { kind: 'raw', bytes: joined(floats) }
  if (doubles.length > 0) return { kind: 'raw', bytes: joined(doubles) }
  return { kind: 'raw', bytes: packInts(dtype, ints) }
}

const joined = (parts: readonly Uint8Array[]) => (parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(parts))

/** `int32_data` and its kin hold every narrower type too, 16-bit floats by their bits; under 8 bits a byte's worth each. */
function packInts(dtype: ElementType, values: BigInt64Array): Uint8Array {
  switch (elementBits(dtype)) {
    case 64:
      return new Uint8Array(values.slice().buffer)
    case 32:
      return new Uint8Array(Int32Array.from(values, (v) => Number(BigInt.asIntN(32, v))).buffer)
    case 16:
      return new Uint8Array(Uint16Array.from(values, (v) => Number(BigInt.asUintN(16, v))).buffer)
    default:
      return Uint8Array.from(values, (v) => Number(BigInt.asUintN(8, v)))
  }
}

function checkLength(name: string, dtype: ElementType, dims: readonly number[], data: TensorData): void {
  const count = elementCountOf(dims)
  const want = data.kind === 'strings' ? count : rawLength(dtype, count)
  const have = data.kind === 'strings' ? data.values.length : data.kind === 'external' ? data.length : data.bytes.length
  if (have !== want || (dtype === 'undefined' && have > 0)) {
    throw badModel(`tensor ${name} of type ${dtype} and shape [${dims.join(', ')}] takes ${want} bytes, but has ${have}`)
  }
}
