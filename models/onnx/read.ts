/**
 * An ONNX file into plain data. Raw weights stay views into `bytes`; doc strings, training info and what else no runtime
 * needs is stepped over. Hostile bytes throw bad-model in time and memory bounded by their size.
 */
import { concatBytes } from '../../protocol/bytes.ts'
import { badModel } from './bad-model.ts'
import type { Attribute, Graph, LocalFunction, Model, Node, OpsetImport, Tensor, ValueInfo } from './model.ts'
import { readEntry, readSparse, readTensor } from './read-tensor.ts'
import { readValueInfo } from './read-value-info.ts'
import { Int64List, WireReader } from './wire-reader.ts'

/**
 * @param bytes a ModelProto; the model's raw weights are views into it
 * @throws ManyhandsError bad-model
 */
export function readModel(bytes: Uint8Array): Model {
  const r = new WireReader(bytes)
  let irVersion = 0
  let producer = ''
  let graph: Graph | undefined
  const opsetImports: OpsetImport[] = []
  const metadata = new Map<string, string>()
  const functions: LocalFunction[] = []
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag >>> 3) {
      case 1:
        irVersion = r.int(tag)
        break
      case 2:
        producer = r.string(tag)
        break
      case 7:
        if (graph) throw badModel('it holds two graphs')
        graph = r.message(tag, readGraph)
        break
      case 8:
        opsetImports.push(r.message(tag, readOpset))
        break
      case 14: {
        const [key, value] = r.message(tag, readEntry)
        metadata.set(key, value)
        break
      }
      case 25:
        functions.push(r.message(tag, readFunction))
        break
      default:
        r.skip(tag)
    }
  }
  if (!graph) throw badModel('it holds no graph; is it an ONNX file?')
  return { irVersion, opsetImports, producer, graph, metadata, functions }
}

function readOpset(r: WireReader): OpsetImport {
  let domain = ''
  let version = 0
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) domain = r.string(tag)
    else if (tag >>> 3 === 2) version = r.int(tag)
    else r.skip(tag)
  }
  // 'ai.onnx' is the long name of ''.
  return { domain: domain === 'ai.onnx' ? '' : domain, version }
}

/** The name and domain alone; the rest is kept as bytes. */
function readFunction(r: WireReader): LocalFunction {
  const start = r.position
  let name = ''
  let domain = ''
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag >>> 3 === 1) name = r.string(tag)
    else if (tag >>> 3 === 10) domain = r.string(tag)
    else r.skip(tag)
  }
  return { name, domain, bytes: r.since(start) }
}

function readGraph(r: WireReader): Graph {
  let name = ''
  const nodes: Node[] = []
  const initializers: Tensor[] = []
  const inputs: ValueInfo[] = []
  const outputs: ValueInfo[] = []
  const valueInfo: ValueInfo[] = []
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag >>> 3) {
      case 1:
        nodes.push(r.message(tag, readNode))
        break
      case 2:
        name = r.string(tag)
        break
      case 5:
        initializers.push(r.message(tag, readTensor))
        break
      case 11:
        inputs.push(r.message(tag, readValueInfo))
        break
      case 12:
        outputs.push(r.message(tag, readValueInfo))
        break
      case 13:
        valueInfo.push(r.message(tag, readValueInfo))
        break
      case 15:
        initializers.push(r.message(tag, readSparse))
        break
      default:
        r.skip(tag)
    }
  }
  return { name, nodes, initializers, inputs, outputs, valueInfo }
}

function readNode(r: WireReader): Node {
  let name = ''
  let opType = ''
  let domain = ''
  let overload = ''
  const inputs: string[] = []
  const outputs: string[] = []
  let attributes: Map<string, Attribute> | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag >>> 3) {
      case 1:
        inputs.push(r.string(tag))
        break
      case 2:
        outputs.push(r.string(tag))
        break
      case 3:
        name = r.string(tag)
        break
      case 4:
        opType = r.string(tag)
        break
      case 5: {
        const [key, attribute] = r.message(tag, readAttribute)
        attributes ??= new Map()
        if (attributes.has(key)) throw badModel(`node ${name || opType} has two attributes called ${key}`)
        attributes.set(key, attribute)
        break
      }
      case 7:
        domain = r.string(tag)
        break
      case 8:
        overload = r.string(tag)
        break
      default:
        r.skip(tag)
    }
  }
  return { name, opType, domain: domain === 'ai.onnx' ? '' : domain, overload, inputs, outputs, attributes: attributes ?? noAttributes }
}

const noAttributes: ReadonlyMap<string, Attribute> = new Map()

/** AttributeProto.AttributeType; 0 was left out by the first exporters, and is told by the field that is there. */
const attributeTypes = ['', 'float', 'int', 'string', 'tensor', 'graph', 'floats', 'ints', 'strings', 'tensors', 'graphs'] as const

function readAttribute(r: WireReader): [string, Attribute] {
  const start = r.position
  let name = ''
  let type = 0
  let seen = 0
  let float = 0
  let int = 0n
  let string = noBytes
  let tensor: Tensor | undefined
  let graph: Graph | undefined
  const floats: Uint8Array[] = []
  const ints = new Int64List()
  const strings: Uint8Array[] = []
  const tensors: Tensor[] = []
  const graphs: Graph[] = []
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const field = tag >>> 3
    if (field >= 2 && field <= 11) seen = attributeTypeOfField[field] ?? 0
    switch (field) {
      case 1:
        name = r.string(tag)
        break
      case 2:
        float = r.float(tag)
        break
      case 3:
        int = r.int64(tag)
        break
      case 4:
        string = r.bytes(tag)
        break
      case 5:
        tensor = r.message(tag, readTensor)
        break
      case 6:
        graph = r.message(tag, readGraph)
        break
      case 7:
        floats.push(r.fixed(tag, 4))
        break
      case 8:
        r.int64s(tag, ints)
        break
      case 9:
        strings.push(r.bytes(tag))
        break
      case 10:
        tensors.push(r.message(tag, readTensor))
        break
      case 11:
        graphs.push(r.message(tag, readGraph))
        break
      case 20:
        type = r.int(tag)
        break
      default:
        r.skip(tag)
    }
  }
  const kind = attributeTypes[type || seen]
  switch (kind) {
    case 'float':
      return [name, { type: kind, value: float }]
    case 'int':
      return [name, { type: kind, value: int }]
    case 'string':
      return [name, { type: kind, value: string }]
    case 'tensor':
      if (!tensor) throw badModel(`attribute ${name} should hold a tensor`)
      return [name, { type: kind, value: tensor }]
    case 'graph':
      if (!graph) throw badModel(`attribute ${name} should hold a graph`)
      return [name, { type: kind, value: graph }]
    case 'floats':
      return [name, { type: kind, value: new Float32Array(concatBytes(floats).buffer) }]
    case 'ints':
      return [name, { type: kind, value: ints.values() }]
    case 'strings':
      return [name, { type: kind, value: strings }]
    case 'tensors':
      return [name, { type: kind, value: tensors }]
    case 'graphs':
      return [name, { type: kind, value: graphs }]
    default:
      return [name, { type: 'other', value: r.since(start) }]
  }
}

const noBytes = new Uint8Array() as Uint8Array

/** Index = AttributeProto's field number. */
const attributeTypeOfField = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
