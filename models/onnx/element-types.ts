/**
 * ONNX element types: their numbers in the file, our names for them (those of protocol/tensors.ts where both have one),
 * and the bits an element takes in raw data.
 */
import { badModel } from './bad-model.ts'

/** Index = TensorProto.DataType. */
const names = [
  'undefined',
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
  'complex64',
  'complex128',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'uint4',
  'int4',
  'float4e2m1',
  'float8e8m0',
  'uint2',
  'int2',
] as const

export type ElementType = (typeof names)[number]

/** Bits an element takes in raw data; 0 where raw data is not allowed. Elements under 8 bits are packed, the low bits first. */
const bits: Readonly<Record<ElementType, number>> = {
  undefined: 0,
  float32: 32,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  int64: 64,
  string: 0,
  bool: 8,
  float16: 16,
  float64: 64,
  uint32: 32,
  uint64: 64,
  complex64: 64,
  complex128: 128,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  uint4: 4,
  int4: 4,
  float4e2m1: 4,
  float8e8m0: 8,
  uint2: 2,
  int2: 2,
}

const numbers = new Map<ElementType, number>(names.map((name, i) => [name, i]))

/** @throws ManyhandsError bad-model on a type newer than this reader. */
export function elementTypeOf(number: number): ElementType {
  const name = names[number]
  if (name === undefined)
    throw badModel(`element type ${number} is not known here; export the model with one of float32, float16, int64, …`)
  return name
}

export const elementTypeNumber = (type: ElementType): number => numbers.get(type) ?? 0

export const elementBits = (type: ElementType): number => bits[type]

/** Bytes that `count` elements take as raw data. */
export const rawLength = (type: ElementType, count: number): number => Math.ceil((count * bits[type]) / 8)

export function elementCountOf(dims: readonly number[]): number {
  let n = 1
  for (const d of dims) n *= d
  return n
}
