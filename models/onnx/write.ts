/**
 * Plain data into an ONNX file: the same model gives the same bytes everywhere. Fields are written last first (see
 * wire-writer.ts), so each function reads from its message's end to its start.
 */
import { elementTypeNumber } from './element-types.ts'
import type { Attribute, Graph, Model, Node, Tensor, ValueInfo } from './model.ts'
import { WireWriter } from './wire-writer.ts'

/** A node with its strings: what the first buffer is sized by; it grows where that is too little. Bytes. */
const bytesPerNode = 256

export function writeModel(model: Model): Uint8Array<ArrayBuffer> {
  const w = new WireWriter(1024 + model.graph.nodes.length * bytesPerNode + inlineWeights(model.graph))
  w.each(model.functions, ({ bytes }) => w.message(25, () => w.verbatim(bytes)))
  w.each([...model.metadata], (entry) => w.message(14, () => writeEntry(w, entry)))
  w.each(model.opsetImports, ({ domain, version }) =>
    w.message(8, () => {
      w.int(2, version)
      w.optionalString(1, domain)
    }),
  )
  w.message(7, () => writeGraph(w, model.graph))
  w.optionalString(2, model.producer)
  w.int(1, model.irVersion)
  return w.finish()
}

function inlineWeights(graph: Graph): number {
  let bytes = 0
  for (const { data } of graph.initializers) if (data.kind === 'raw' || data.kind === 'sparse') bytes += data.bytes.length
  return bytes
}

function writeGraph(w: WireWriter, graph: Graph): void {
  const sparse = graph.initializers.filter((t) => t.data.kind === 'sparse')
  const dense = graph.initializers.filter((t) => t.data.kind !== 'sparse')
  w.each(sparse, ({ data }) => data.kind === 'sparse' && w.bytes(15, data.bytes))
  w.each(graph.valueInfo, (info) => w.message(13, () => writeValueInfo(w, info)))
  w.each(graph.outputs, (info) => w.message(12, () => writeValueInfo(w, info)))
  w.each(graph.inputs, (info) => w.message(11, () => writeValueInfo(w, info)))
  w.each(dense, (tensor) => w.message(5, () => writeTensor(w, tensor)))
  w.string(2, graph.name)
  w.each(graph.nodes, (node) => w.message(1, () => writeNode(w, node)))
}

function writeNode(w: WireWriter, node: Node): void {
  w.optionalString(8, node.overload)
  w.optionalString(7, node.domain)
  w.each([...node.attributes], ([name, attribute]) => writeAttribute(w, name, attribute))
  w.string(4, node.opType)
  w.optionalString(3, node.name)
  w.each(node.outputs, (name) => w.string(2, name))
  w.each(node.inputs, (name) => w.string(1, name))
}

/** Attribute types by our names: [AttributeType, field of the value]. */
const attributeNumbers = {
  float: [1, 2],
  int: [2, 3],
  string: [3, 4],
  tensor: [4, 5],
  graph: [5, 6],
  floats: [6, 7],
  ints: [7, 8],
  strings: [8, 9],
  tensors: [9, 10],
  graphs: [10, 11],
} as const

function writeAttribute(w: WireWriter, name: string, attribute: Attribute): void {
  if (attribute.type === 'other') return w.bytes(5, attribute.value)
  const [type, field] = attributeNumbers[attribute.type]
  w.message(5, () => {
    w.int(20, type)
    switch (attribute.type) {
      case 'float':
        w.float(field, attribute.value)
        break
      case 'int':
        w.int(field, attribute.value)
        break
      case 'string':
        w.bytes(field, attribute.value)
        break
      case 'tensor':
        w.message(field, () => writeTensor(w, attribute.value))
        break
      case 'graph':
        w.message(field, () => writeGraph(w, attribute.value))
        break
      case 'floats':
        w.floats(field, attribute.value)
        break
      case 'ints':
        w.int64s(field, attribute.value)
        break
      case 'strings':
        w.each(attribute.value, (value) => w.bytes(field, value))
        break
      case 'tensors':
        w.each(attribute.value, (value) => w.message(field, () => writeTensor(w, value)))
        break
      case 'graphs':
        w.each(attribute.value, (value) => w.message(field, () => writeGraph(w, value)))
        break
    }
    w.string(1, name)
  })
}

function writeTensor(w: WireWriter, { name, dtype, dims, data }: Tensor): void {
  if (data.kind === 'sparse') return w.verbatim(data.bytes)
  if (data.kind === 'external') {
    w.int(14, 1)
    const place: [string, string][] = [
      ['location', data.location],
      ['offset', String(data.offset)],
      ['length', String(data.length)],
    ]
    w.each(place, (entry) => w.message(13, () => writeEntry(w, entry)))
  } else if (data.kind === 'raw') w.bytes(9, data.bytes)
  w.optionalString(8, name)
  if (data.kind === 'strings') w.each(data.values, (value) => w.bytes(6, value))
  w.int(2, elementTypeNumber(dtype))
  w.each(dims, (dim) => w.int(1, dim))
}

function writeValueInfo(w: WireWriter, { name, type }: ValueInfo): void {
  if (type.kind === 'other') {
    if (type.bytes.length > 0) w.bytes(2, type.bytes)
  } else {
    w.message(2, () =>
      w.message(1, () => {
        const { dims } = type
        if (dims)
          w.message(2, () =>
            w.each(dims, (dim) => w.message(1, () => (typeof dim === 'number' ? w.int(1, dim) : w.optionalString(2, dim)))),
          )
        w.int(1, elementTypeNumber(type.dtype))
      }),
    )
  }
  w.string(1, name)
}

function writeEntry(w: WireWriter, [key, value]: readonly [string, string]): void {
  w.string(2, value)
  w.string(1, key)
}
