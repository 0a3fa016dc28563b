/**
 * What an importer hands on: a graph whose larger weights lie outside it, and where their bytes come from. Each `location`
 * of the graph's external data is one part; two initializers with one location share its bytes (a tied head).
 */
import type { Bytes } from '../protocol/bytes.ts'
import type { Decoder, Embedding, InputSpec, Manifest, OutputSpec } from '../protocol/manifest.ts'
import type { Model } from './onnx/model.ts'

export interface WeightPart {
  readonly bytes: number
  load(): Promise<Bytes>
}

export interface SourceModel {
  readonly model: Model
  readonly parts: ReadonlyMap<string, WeightPart>
  readonly inputs: readonly InputSpec[]
  readonly outputs: readonly OutputSpec[]
  readonly task: Manifest['task']
  readonly decoder?: Decoder
  readonly embedding?: Embedding
  readonly tokenizer?: { readonly json: Bytes; readonly config: Bytes }
  /** What the file says of itself; a catalogue entry says it better. Empty where it says nothing. */
  readonly name: string
  readonly title: string
  readonly license: string
  /** Closes the files that the parts are read from. */
  close(): Promise<void>
}

/** Initializers above this lie outside the graph; shape constants and single numbers stay in it. Bytes. */
export const inlineBytes = 1024
