/**
 * Puts an ONNX graph together node by node, for importers whose source has no graph of its own. A node's name is its
 * first output's, so that a failing node can be found in the source.
 */
import { utf8 } from '../protocol/bytes.ts'
import type { ElementType } from './onnx/element-types.ts'
import type { Attribute, Dim, Graph, Node, Tensor, TensorData, ValueInfo } from './onnx/model.ts'

export type AttributeValue =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly text: string }

export class GraphBuilder {
  private readonly nodes: Node[] = []
  private readonly initializers = new Map<string, Tensor>()
  private readonly inputs: ValueInfo[] = []
  private readonly outputs: ValueInfo[] = []
  private readonly valueInfo: ValueInfo[] = []

  /** One node with one or more outputs; returns the first output's name. `op` is `Add`, or `com.microsoft.MatMulNBits`. */
  node(
    op: string,
    inputs: readonly string[],
    outputs: string | readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ): string {
    const names = typeof outputs === 'string' ? [outputs] : outputs
    const dot = op.lastIndexOf('.')
    const first = names[0] as string
    this.nodes.push({
      name: first,
      opType: op.slice(dot + 1),
      domain: op.slice(0, Math.max(dot, 0)),
      overload: '',
      inputs,
      outputs: names,
      attributes: new Map(Object.entries(attributes).map(([k, value]) => [k, attributeOf(value)])),
    })
    return first
  }

  initializer(name: string, dtype: ElementType, dims: readonly number[], data: TensorData): string {
    this.initializers.set(name, { name, dtype, dims, data })
    return name
  }

  /** A small constant, kept in the graph itself. The same name again is the same constant. */
  float(name: string, value: number): string {
    return this.initializer(name, 'float32', [], { kind: 'raw', bytes: new Uint8Array(Float32Array.of(value).buffer) })
  }

  /** Small constants, kept in the graph itself: a shape, axes. One value with `dims` [] is a scalar. */
  int64s(name: string, values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.initializer(name, 'int64', dims, { kind: 'raw', bytes: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) })
  }

  input(name: string, dtype: ElementType, dims: readonly Dim[]): string {
    this.inputs.push(valueInfo(name, dtype, dims))
    return name
  }

  output(name: string, dtype: ElementType, dims: readonly Dim[]): void {
    this.outputs.push(valueInfo(name, dtype, dims))
  }

  /** What is known of a tensor in between: a stage that starts at it declares it so. */
  describe(name: string, dtype: ElementType, dims: readonly Dim[]): void {
    this.valueInfo.push(valueInfo(name, dtype, dims))
  }

  build(name: string): Graph {
    const { nodes, inputs, outputs, valueInfo } = this
    return { name, nodes, initializers: [...this.initializers.values()], inputs, outputs, valueInfo }
  }
}

const valueInfo = (name: string, dtype: ElementType, dims: readonly Dim[]): ValueInfo => ({ name, type: { kind: 'tensor', dtype, dims } })

function attributeOf(value: AttributeValue): Attribute {
  if ('int' in value) return { type: 'int', value: BigInt(value.int) }
  if ('float' in value) return { type: 'float', value: value.float }
  if ('ints' in value) return { type: 'ints', value: BigInt64Array.from(value.ints.map(BigInt)) }
  return { type: 'string', value: utf8(value.text) }
}
