/**
 * Shape computations that start at a port which only one stage has: exported decoders take the lengths of everything from
 * the first layer's cache or from the ids. Where ports are declared with the same dimensions, one can stand in for another.
 */
import type { GraphIndex } from './graph-index.ts'
import { isSelfMade, type Ports } from './graph-ports.ts'
import type { Dim, Node } from './onnx/model.ts'

export class StandIns {
  /** Ports by their declared dimensions: those that every stage has first, then caches. */
  readonly #classes = new Map<string, string[]>()
  readonly #classOf = new Map<string, string>()
  readonly #selfMade: ReadonlySet<string>

  constructor(index: GraphIndex, ports: Ports) {
    const roles = new Map<string, string>([...ports.inputs, ...ports.outputs].map((p) => [p.name, p.role]))
    const declared = [...index.inputs.values(), ...index.graph.outputs].filter(
      ({ name }) => !['result', 'logits'].includes(roles.get(name) ?? 'result'),
    )
    this.#selfMade = new Set(ports.inputs.filter((p) => isSelfMade(p.role)).map((p) => p.name))
    for (const { name, type } of declared.toSorted((a, b) => Number(this.#selfMade.has(b.name)) - Number(this.#selfMade.has(a.name)))) {
      if (type.kind !== 'tensor' || !type.dims || type.dims.includes('')) continue
      const key = classKey(type.dims)
      this.#classOf.set(name, key)
      const known = this.#classes.get(key)
      if (known) known.push(name)
      else this.#classes.set(key, [name])
    }
  }

  /** Whether the node asks for nothing but the shape of a port for which others can stand in. */
  covers(node: Node): boolean {
    const port = node.inputs[0] ?? ''
    if (node.opType !== 'Shape' || this.#selfMade.has(port)) return false
    return this.#others(port).length > 0
  }

  /** A port of the same shape that the stage has. */
  for(node: Node, has: (port: string) => boolean): string | undefined {
    const port = node.inputs[0] ?? ''
    return has(port) ? port : this.#others(port).find(has)
  }

  #others(port: string): string[] {
    return (this.#classes.get(this.#classOf.get(port) ?? '') ?? []).filter((name) => name !== port)
  }
}

const classKey = (dims: readonly Dim[]) => JSON.stringify(dims)
