/**
 * A llama-architecture GGUF as one weightless ONNX decoder. Inputs and outputs are named as Optimum and transformers.js name
 * them; every residual is a plain Add, so that the graph can be cut after each half of a layer and right before the head.
 */
import type { InputSpec, OutputSpec } from '../protocol/manifest.ts'
import type { ByteSource } from './byte-source.ts'
import type { Gguf } from './gguf.ts'
import { GraphBuilder } from './graph-builder.ts'
import { llamaConfig, type LlamaConfig } from './llama-config.ts'
import { LlamaWeights } from './llama-weights.ts'
import type { Model } from './onnx/model.ts'
import { rotaryTables } from './rotary.ts'
import type { SourceModel } from './source-model.ts'
import { ggufTokenizer } from './tokenizer.ts'

const batch = 'batch_size'
const rows = 'sequence_length'
const past = 'past_sequence_length'
const total = 'total_sequence_length'

/**
 * @throws ManyhandsError unsupported (naming what the importer has no place for) or bad-model
 */
export async function llamaModel(gguf: Gguf, source: ByteSource): Promise<SourceModel> {
  const config = llamaConfig(gguf)
  const graph = new GraphBuilder()
  const weights = new LlamaWeights(graph, gguf, source)
  const { inputs, outputs } = ports(config)
  for (const input of inputs) graph.input(input.name, input.dtype, input.shape)
  await decoderNodes(graph, weights, config)
  for (const output of outputs) graph.output(output.name, 'float32', output.shape)
  weights.expectAllUsed()

  const tokenizer = ggufTokenizer(gguf, config)
  const model: Model = {
    irVersion: 9,
    opsetImports: [
      { domain: '', version: 18 },
      { domain: 'com.microsoft', version: 1 },
    ],
    producer: 'manyhands',
    graph: graph.build('llama'),
    metadata: new Map(),
    functions: [],
  }
  const { layers, kvHeads, headDim, vocab, context } = config
  const text = (key: string) => String(gguf.metadata.get(key) ?? '')
  return {
    model,
    parts: weights.parts,
    inputs,
    outputs,
    task: 'text-generation',
    decoder: { layers, kvHeads, headDim, vocab, context, eos: [...tokenizer.eos] },
    tokenizer,
    name: text('general.name'),
    title: text('general.name'),
    license: text('general.license'),
    close: () => source.close(),
  }
}

function ports(config: LlamaConfig): { inputs: InputSpec[]; outputs: OutputSpec[] } {
  const inputs: InputSpec[] = [
    { name: 'input_ids', dtype: 'int64', shape: [batch, rows], role: 'tokens' },
    { name: 'attention_mask', dtype: 'int64', shape: [batch, total], role: 'mask' },
    { name: 'position_ids', dtype: 'int64', shape: [batch, rows], role: 'positions' },
  ]
  const outputs: OutputSpec[] = [{ name: 'logits', dtype: 'float32', shape: [batch, rows, config.vocab], role: 'logits' }]
  for (let layer = 0; layer < config.layers; layer++) {
    for (const half of ['key', 'value']) {
      inputs.push({
        name: `past_key_values.${layer}.${half}`,
        dtype: 'float32',
        shape: [batch, config.kvHeads, past, config.headDim],
        role: 'past',
      })
      outputs.push({
        name: `present.${layer}.${half}`,
        dtype: 'float32',
        shape: [batch, config.kvHeads, total, config.headDim],
        role: 'present',
      })
    }
  }
  return { inputs, outputs }
}

async function decoderNodes(graph: GraphBuilder, weights: LlamaWeights, config: LlamaConfig): Promise<void> {
  const embedding = weights.matrix('token_embd.weight', 'model.embed_tokens', config.vocab, config.hidden, { byRow: true })
  const shared = { ...lengths(graph), ...(await rotaryTables(weights, config)) }
  let residual = weights.lookUp(embedding, 'input_ids', 'model.embed_tokens')
  describe(graph, residual, config)
  for (let layer = 0; layer < config.layers; layer++) {
    residual = await attention(graph, weights, config, layer, residual, shared)
    describe(graph, residual, config)
    residual = await mlp(graph, weights, config, layer, residual)
    describe(graph, residual, config)
  }
  const normed = await norm(graph, weights, config, 'output_norm.weight', 'model.norm', residual)
  const head = config.tied ? embedding : weights.matrix('output.weight', 'lm_head', config.vocab, config.hidden)
  weights.multiply(head, normed, 'logits')
}

interface Shared {
  /** int32 [batch]: index of the last position, per sequence. */
  readonly lastIndex: string
  /** int32 scalar: positions in all, those of the cache included. */
  readonly total: string
  readonly cos: string
  readonly sin: string
}

/** What attention wants to know about lengths, from the mask alone: a few nodes that every stage computes for itself. */
function lengths(graph: GraphBuilder): Pick<Shared, 'lastIndex' | 'total'> {
  const one = graph.int64s('one', [1])
  const toInt = { to: { int: 6 } }
  const attended = graph.node('ReduceSum', ['attention_mask', one], 'mask.attended', { keepdims: { int: 0 } })
  const lastIndex = graph.node('Cast', [graph.node('Sub', [attended, one], 'mask.last_index.i64')], 'mask.last_index', toInt)
  const size = graph.node(
    'Gather',
    [graph.node('Shape', ['attention_mask'], 'mask.shape'), graph.int64s('axis', [1], [])],
    'mask.total.i64',
  )
  return { lastIndex, total: graph.node('Cast', [size], 'mask.total', toInt) }
}

async function attention(
  graph: GraphBuilder,
  weights: LlamaWeights,
  config: LlamaConfig,
  layer: number,
  x: string,
  shared: Shared,
): Promise<string> {
  const { hidden, heads, kvHeads, headDim } = config
  const name = `model.layers.${layer}`
  const blk = `blk.${layer}`
  const normed = await norm(graph, weights, config, `${blk}.attn_norm.weight`, `${name}.input_layernorm`, x)
  const project = (part: string, letter: string, size: number, rotated: boolean) => {
    const matrix = weights.matrix(
      `${blk}.attn_${part}.weight`,
      `${name}.self_attn.${letter}_proj`,
      size,
      hidden,
      rotated ? { headDim } : {},
    )
    return weights.multiply(matrix, normed, `${name}.self_attn.${letter}_proj`)
  }
  const rotate = (input: string) =>
    graph.node('com.microsoft.RotaryEmbedding', [input, 'position_ids', shared.cos, shared.sin], `${input}.rotated`)
  const q = rotate(project('q', 'q', heads * headDim, true))
  const k = rotate(project('k', 'k', kvHeads * headDim, true))
  const v = project('v', 'v', kvHeads * headDim, false)
  const attended = graph.node(
    'com.microsoft.GroupQueryAttention',
    [q, k, v, `past_key_values.${layer}.key`, `past_key_values.${layer}.value`, shared.lastIndex, shared.total],
    [`${name}.self_attn`, `present.${layer}.key`, `present.${layer}.value`],
    { num_heads: { int: heads }, kv_num_heads: { int: kvHeads } },
  )
  const out = weights.matrix(`${blk}.attn_output.weight`, `${name}.self_attn.o_proj`, hidden, heads * headDim)
  return graph.node('Add', [x, weights.multiply(out, attended, `${name}.self_attn.o_proj`)], `${name}.self_attn.residual`)
}

async function mlp(graph: GraphBuilder, weights: LlamaWeights, config: LlamaConfig, layer: number, x: string): Promise<string> {
  const { hidden, ffn } = config
  const name = `model.layers.${layer}.mlp`
  const blk = `blk.${layer}`
  const normed = await norm(graph, weights, config, `${blk}.ffn_norm.weight`, `model.layers.${layer}.post_attention_layernorm`, x)
  const gate = weights.multiply(weights.matrix(`${blk}.ffn_gate.weight`, `${name}.gate_proj`, ffn, hidden), normed, `${name}.gate_proj`)
  const up = weights.multiply(weights.matrix(`${blk}.ffn_up.weight`, `${name}.up_proj`, ffn, hidden), normed, `${name}.up_proj`)
  const silu = graph.node('Mul', [gate, graph.node('Sigmoid', [gate], `${name}.sigmoid`)], `${name}.silu`)
  const gated = graph.node('Mul', [silu, up], `${name}.gated`)
  const down = weights.matrix(`${blk}.ffn_down.weight`, `${name}.down_proj`, hidden, ffn)
  return graph.node('Add', [x, weights.multiply(down, gated, `${name}.down_proj`)], `${name}.residual`)
}

async function norm(
  graph: GraphBuilder,
  weights: LlamaWeights,
  config: LlamaConfig,
  tensor: string,
  name: string,
  x: string,
): Promise<string> {
  const scale = await weights.vector(tensor, `${name}.weight`, config.hidden)
  return graph.node('SimplifiedLayerNormalization', [x, scale], name, {
    axis: { int: -1 },
    epsilon: { float: config.epsilon },
    stash_type: { int: 1 },
  })
}

const describe = (graph: GraphBuilder, residual: string, config: LlamaConfig) =>
  graph.describe(residual, 'float32', [batch, rows, config.hidden])
