/**
 * A BERT from safetensors as one weightless ONNX encoder, named as Optimum and transformers.js name theirs. Texts of several lengths
 * go together: where `attention_mask` is 0 nothing is looked at, so that each one's vectors are what they are alone.
 */
import type { InputSpec, OutputSpec } from '../protocol/manifest.ts'
import { bertConfig, type BertConfig } from './bert-config.ts'
import { BertWeights } from './bert-weights.ts'
import type { Beside } from './beside.ts'
import type { ByteSource } from './byte-source.ts'
import { encoderFiles } from './encoder-files.ts'
import { GraphBuilder } from './graph-builder.ts'
import type { Model } from './onnx/model.ts'
import type { Safetensors } from './safetensors.ts'
import type { SourceModel } from './source-model.ts'

const batch = 'batch_size'
const tokens = 'sequence_length'

/**
 * Inputs `input_ids`, `attention_mask` (1 for a token, 0 for padding) and `token_type_ids`, int64 [texts, tokens]; output
 * `last_hidden_state`, f32 [texts, tokens, hidden].
 * @throws ManyhandsError not-found for a file that is missing beside it; unsupported (naming what the importer has no place for) or bad-model
 */
export async function bertModel(file: Safetensors, source: ByteSource, beside: Beside): Promise<SourceModel> {
  const config = await bertConfig(beside)
  const { tokenizer, embedding } = await encoderFiles(beside, config)
  const graph = new GraphBuilder()
  const weights = new BertWeights(graph, file, source)
  const inputs = ['input_ids', 'attention_mask', 'token_type_ids'].map((name): InputSpec => ({
    name,
    dtype: 'int64',
    shape: [batch, tokens],
    role: 'feed',
  }))
  const output: OutputSpec = { name: 'last_hidden_state', dtype: 'float32', shape: [batch, tokens, config.hidden], role: 'result' }
  for (const input of inputs) graph.input(input.name, input.dtype, input.shape)
  const bias = maskBias(graph)
  let x = await embedded(graph, weights, config)
  describe(graph, x, config)
  for (let i = 0; i < config.layers; i++) {
    x = await attention(graph, weights, config, `encoder.layer.${i}.attention`, x, bias)
    describe(graph, x, config)
    const last = i === config.layers - 1
    x = await feedForward(graph, weights, config, `encoder.layer.${i}`, x, last ? output.name : undefined)
    if (!last) describe(graph, x, config)
  }
  graph.output(output.name, 'float32', output.shape)
  weights.expectAllUsed()
  const model: Model = {
    irVersion: 9,
    opsetImports: [{ domain: '', version: 18 }],
    producer: 'manyhands',
    graph: graph.build('bert'),
    metadata: new Map(),
    functions: [],
  }
  return {
    model,
    parts: weights.parts,
    inputs,
    outputs: [output],
    task: 'feature-extraction',
    embedding,
    tokenizer,
    name: '',
    title: '',
    license: '',
    close: () => source.close(),
  }
}

/** What is added to the score of a token that is padding: e to the power of it is 0 in f32, and nothing of it overflows. */
const unseen = -10_000

/** f32 [texts, 1, 1, tokens]: 0 for a token, `unseen` for padding. */
function maskBias(graph: GraphBuilder): string {
  const mask = graph.node('Cast', ['attention_mask'], 'mask.f32', { to: { int: 1 } })
  const hidden = graph.node('Sub', [graph.float('one', 1), mask], 'mask.hidden')
  const bias = graph.node('Mul', [hidden, graph.float('unseen', unseen)], 'mask.flat')
  const out = graph.node('Unsqueeze', [bias, graph.int64s('mask.axes', [1, 2])], 'mask.bias')
  graph.describe(out, 'float32', [batch, 1, 1, tokens])
  return out
}

/** Token, kind and position, as one vector each. */
async function embedded(graph: GraphBuilder, weights: BertWeights, config: BertConfig): Promise<string> {
  const { hidden } = config
  const words = weights.lookUp('embeddings.word_embeddings', 'input_ids', config.vocab, hidden)
  const types = weights.lookUp('embeddings.token_type_embeddings', 'token_type_ids', config.types, hidden)
  const positions = weights.lookUp('embeddings.position_embeddings', positionIds(graph), config.positions, hidden)
  const typed = graph.node('Add', [words, types], 'embeddings.typed')
  return weights.layerNorm('embeddings.LayerNorm', graph.node('Add', [typed, positions], 'embeddings.sum'), hidden, config.epsilon)
}

/**
 * 0, 1, 2 … for each text, as a running sum over ones: its shape is known to be that of the ids. A slice's would not be, and then the whole graph's
 * norms would be fused otherwise than those of a stage that is told the shape of what crosses.
 */
function positionIds(graph: GraphBuilder): string {
  const same = graph.node('Equal', ['input_ids', 'input_ids'], 'tokens.each')
  const ones = graph.node('Cast', [same], 'tokens.ones', { to: { int: 7 } })
  return graph.node('CumSum', [ones, graph.int64s('tokens.axis', [1], [])], 'tokens.positions', { exclusive: { int: 1 } })
}

async function attention(
  graph: GraphBuilder,
  weights: BertWeights,
  config: BertConfig,
  name: string,
  x: string,
  bias: string,
): Promise<string> {
  const { hidden, heads, headDim, epsilon } = config
  const self = `${name}.self`
  const inHeads = graph.int64s('shape.heads', [0, 0, heads, headDim])
  const split = (flat: string, perm: readonly number[]) => {
    const parts = graph.node('Reshape', [flat, inHeads], `${flat}.split`)
    const out = graph.node('Transpose', [parts], `${flat}.heads`, { perm: { ints: perm } })
    const sizes = [batch, tokens, heads, headDim]
    graph.describe(
      out,
      'float32',
      perm.map((axis) => sizes[axis] as string | number),
    )
    return out
  }
  const project = (part: string) => weights.linear(`${self}.${part}`, x, hidden, hidden)
  // Scaled before the product: written in the usual order, ONNX Runtime makes one operator of all this, but only where the norm before it lies
  // in the same stage. So a stage would compute other bits than the whole, and pipelines that are cut elsewhere could not be compared.
  const scaled = graph.node('Mul', [await project('query'), graph.float('scale', 1 / Math.sqrt(headDim))], `${self}.scaled`)
  const q = split(scaled, [0, 2, 1, 3])
  const k = split(await project('key'), [0, 2, 3, 1])
  const v = split(await project('value'), [0, 2, 1, 3])
  const scores = graph.node('Add', [graph.node('MatMul', [q, k], `${self}.scores`), bias], `${self}.masked`)
  const weighed = graph.node('Softmax', [scores], `${self}.weights`, { axis: { int: -1 } })
  const seen = graph.node('MatMul', [weighed, v], `${self}.seen`)
  const turned = graph.node('Transpose', [seen], `${self}.turned`, { perm: { ints: [0, 2, 1, 3] } })
  const joined = graph.node('Reshape', [turned, graph.int64s('shape.joined', [0, 0, hidden])], `${self}.joined`)
  const out = await weights.linear(`${name}.output.dense`, joined, hidden, hidden)
  return weights.layerNorm(`${name}.output.LayerNorm`, graph.node('Add', [out, x], `${name}.residual`), hidden, epsilon)
}

async function feedForward(
  graph: GraphBuilder,
  weights: BertWeights,
  config: BertConfig,
  name: string,
  x: string,
  result: string | undefined,
): Promise<string> {
  const { hidden, ffn, epsilon } = config
  const wide = gelu(graph, await weights.linear(`${name}.intermediate.dense`, x, ffn, hidden))
  const out = await weights.linear(`${name}.output.dense`, wide, hidden, ffn)
  return weights.layerNorm(`${name}.output.LayerNorm`, graph.node('Add', [out, x], `${name}.residual`), hidden, epsilon, result)
}

/** The exact one (arXiv 1606.08415): x/2 * (1 + erf(x / sqrt 2)). */
function gelu(graph: GraphBuilder, x: string): string {
  const erf = graph.node('Erf', [graph.node('Div', [x, graph.float('gelu.sqrt2', Math.SQRT2)], `${x}.scaled`)], `${x}.erf`)
  const part = graph.node('Mul', [x, graph.node('Add', [erf, graph.float('one', 1)], `${x}.erf1`)], `${x}.doubled`)
  return graph.node('Mul', [part, graph.float('gelu.half', 0.5)], `${x}.gelu`)
}

const describe = (graph: GraphBuilder, x: string, config: BertConfig) => graph.describe(x, 'float32', [batch, tokens, config.hidden])
