/**
 * ValueInfoProto and TypeProto: what a graph says of a tensor's element type and shape.
 */
import { badModel } from './bad-model.ts'
import { elementTypeOf } from './element-types.ts'
import type { Dim, ValueInfo, ValueType } from './model.ts'
import { maxDims } from './read-tensor.ts'
import type { WireReader } from './wire-reader.ts'

const unknownType: ValueType = { kind: 'other', bytes: new Uint8Array() }

export function readValueInfo(r: WireReader): ValueInfo {
  let name = ''
  let type = unknownType
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) name = r.string(tag)
    else if (tag >>> 3 === 2) type = r.message(tag, readType)
    else r.skip(tag)
  }
  return { name, type }
}

function readType(r: WireReader): ValueType {
  const start = r.position
  let type: ValueType | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) type = r.message(tag, readTensorType)
    else r.skip(tag)
  }
  return type ?? { kind: 'other', bytes: r.since(start) }
}

function readTensorType(r: WireReader): ValueType {
  let dtype = 0
  let dims: Dim[] | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) dtype = r.int(tag)
    else if (tag >>> 3 === 2) dims = r.message(tag, readShape)
    else r.skip(tag)
  }
  return { kind: 'tensor', dtype: elementTypeOf(dtype), ...(dims && { dims }) }
}

function readShape(r: WireReader): Dim[] {
  const dims: Dim[] = []
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) dims.push(r.message(tag, readDim))
    else r.skip(tag)
    if (dims.length > maxDims) throw badModel(`a tensor has more than ${maxDims} axes`)
  }
  return dims
}

function readDim(r: WireReader): Dim {
  let dim: Dim = ''
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) {
      const value = r.int(tag)
      // Some exporters write -1 for a size that isn't known.
      dim = value < 0 ? '' : value
    } else if (tag >>> 3 === 2) dim = r.string(tag)
    else r.skip(tag)
  }
  return dim
}
