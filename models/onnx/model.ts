/**
 * A parsed ONNX model as plain data. Everything after the reader (cuts, carving, lowering, the importers) works on these
 * and makes new ones; nothing is changed in place. Weights are views into the file, or stay outside by location.
 */
import type { ElementType } from './element-types.ts'

export interface Model {
  readonly irVersion: number
  readonly opsetImports: readonly OpsetImport[]
  readonly producer: string
  readonly graph: Graph
  readonly metadata: ReadonlyMap<string, string>
  /** Model-local functions, kept as they are: a call of one is a node like any other, and sees no outer names. */
  readonly functions: readonly LocalFunction[]
}

export interface OpsetImport {
  /** '' is ONNX's own. */
  readonly domain: string
  readonly version: number
}

export interface LocalFunction {
  readonly name: string
  readonly domain: string
  /** The FunctionProto. */
  readonly bytes: Uint8Array
}

export interface Graph {
  readonly name: string
  readonly nodes: readonly Node[]
  readonly initializers: readonly Tensor[]
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  /** What is known of the tensors in between. */
  readonly valueInfo: readonly ValueInfo[]
}

export interface Node {
  readonly name: string
  readonly opType: string
  /** '' is ONNX's own. */
  readonly domain: string
  /** Picks among local functions of one name; '' but for those. */
  readonly overload: string
  /** '' is an optional input left out. */
  readonly inputs: readonly string[]
  /** '' is an output nobody reads. */
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, Attribute>
}

export type Attribute =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: bigint }
  | { readonly type: 'string'; readonly value: Uint8Array }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'floats'; readonly value: Float32Array }
  | { readonly type: 'ints'; readonly value: BigInt64Array }
  | { readonly type: 'strings'; readonly value: readonly Uint8Array[] }
  | { readonly type: 'tensors'; readonly value: readonly Tensor[] }
  | { readonly type: 'graphs'; readonly value: readonly Graph[] }
  /** Sparse tensors and types: the whole AttributeProto, kept as it is. */
  | { readonly type: 'other'; readonly value: Uint8Array }

export interface Tensor {
  readonly name: string
  readonly dtype: ElementType
  readonly dims: readonly number[]
  readonly data: TensorData
}

export type TensorData =
  /** Little-endian bytes, row-major; the file's typed fields (`float_data`, `int64_data`, …) are brought to this too. */
  | { readonly kind: 'raw'; readonly bytes: Uint8Array }
  /** Bytes `offset` up to `offset + length` of the file called `location`. */
  | { readonly kind: 'external'; readonly location: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'strings'; readonly values: readonly Uint8Array[] }
  /** A sparse initializer: the SparseTensorProto, kept as it is. */
  | { readonly kind: 'sparse'; readonly bytes: Uint8Array }

export interface ValueInfo {
  readonly name: string
  readonly type: ValueType
}

export type ValueType =
  /** Without `dims` not even the rank is known. */
  | { readonly kind: 'tensor'; readonly dtype: ElementType; readonly dims?: readonly Dim[] }
  /** Sequences, maps, optionals, sparse tensors: the TypeProto, kept as it is; empty where the file says nothing. */
  | { readonly kind: 'other'; readonly bytes: Uint8Array }

/** A number is fixed; text is symbolic; '' is any size. */
export type Dim = number | string
