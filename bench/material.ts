/** The same model in each engine's format, made once and kept: our library's, an ONNX file for transformers.js, a GGUF for wllama. */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTokenizer } from '../models/chat.ts'
import { catalogueEntry } from '../models/catalogue.ts'
import { carveToFiles } from '../models/cli-carve.ts'
import { openLibrary, type LibraryModel } from '../models/library.ts'
import { readModel } from '../models/onnx/read.ts'
import { writeModel } from '../models/onnx/write.ts'
import { fetchFile } from '../models/sources.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { requantised } from './requantise.ts'

export interface Material {
  readonly model: LibraryModel
  /** What bench/site.ts serves, by path. */
  readonly folders: Readonly<Record<string, string>>
}

const root = fileURLToPath(new URL('..', import.meta.url))
/** The name that transformers.js wants for weights beside `model.onnx`. */
const theirDataName = 'model.onnx_data'

/** @param prompts lengths, in tokens, of the prompts that passes will be asked for */
export async function makeMaterial(data: string, name: string, prompts: readonly number[], say: (line: string) => void): Promise<Material> {
  const library = openLibrary(data)
  const model = await library.add(name)
  const folder = join(data, 'bench', model.revision)
  await mkdir(folder, { recursive: true })
  await once(join(folder, 'q8_0.gguf'), async (path) => {
    say('making an 8-bit GGUF for wllama')
    const entry = catalogueEntry(name)
    if (!entry) throw new ManyhandsError('unknown-model', `The catalogue has no ${name}.`)
    await writeFile(path, await requantised(await fetchFile(entry.weights, join(data, 'bench'))))
  })
  await once(join(folder, 'models', 'smollm2'), async (path) => {
    say('making an ONNX file for transformers.js')
    await makeOnnx(path, model, data)
  })
  await writePrompts(folder, model, data, prompts)
  await writeFile(join(folder, 'manifest.json'), await readFile(library.manifestPath(model.revision)))
  return {
    model,
    folders: {
      '/': join(root, 'dist/bench/'),
      '/assets/': join(root, 'dist/bench/assets/'),
      '/blobs/': library.blobs.directory,
      '/ort/': join(root, 'node_modules/onnxruntime-web/dist'),
      '/their-ort/': join(root, 'bench/node_modules/onnxruntime-web/dist'),
      '/wllama/': join(root, 'bench/node_modules/@wllama/wllama/esm/wasm'),
      '/models/': join(folder, 'models'),
      '/material/': folder,
    },
  }
}

/** What is there was made whole: it gets its name last. */
async function once(path: string, make: (path: string) => Promise<void>): Promise<void> {
  if (await stat(path).catch(() => undefined)) return
  const partial = `${path}.partial`
  await rm(partial, { recursive: true, force: true })
  await mkdir(join(path, '..'), { recursive: true })
  await make(partial)
  await rename(partial, path)
}

/** The whole model as one stage, under the names that transformers.js looks for. */
async function makeOnnx(folder: string, { revision, manifest }: LibraryModel, data: string): Promise<void> {
  const onnx = join(folder, 'onnx')
  const [whole] = await carveToFiles(revision, 1, onnx, openLibrary(data))
  if (!whole) throw new Error('nothing was carved')
  const model = readModel(new Uint8Array(await readFile(whole.path)))
  const initializers = model.graph.initializers.map((tensor) =>
    tensor.data.kind === 'external' ? { ...tensor, data: { ...tensor.data, location: theirDataName } } : tensor,
  )
  await writeFile(join(onnx, 'model.onnx'), writeModel({ ...model, graph: { ...model.graph, initializers } }))
  await rename(`${whole.path}.data`, join(onnx, theirDataName))
  await rm(whole.path)
  const { decoder } = manifest
  if (!decoder) throw new Error('the bench wants a chat model')
  const { layers, kvHeads, headDim, vocab, eos } = decoder
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    num_hidden_layers: layers,
    num_attention_heads: kvHeads,
    num_key_value_heads: kvHeads,
    hidden_size: kvHeads * headDim,
    head_dim: headDim,
    vocab_size: vocab,
    eos_token_id: eos[0],
  }
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await writeFile(join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id: eos[0] }))
}

/** Ids for whoever takes ids, and texts of exactly so many tokens for whoever takes text. */
async function writePrompts(folder: string, { manifest }: LibraryModel, data: string, lengths: readonly number[]): Promise<void> {
  const { tokenizer: files } = manifest
  if (!files) throw new Error('the bench wants a chat model')
  const { blobs } = openLibrary(data)
  const tokenizer = createTokenizer(await blobs.get(files.json.hash), await blobs.get(files.config.hash))
  const readme = await readFile(join(root, 'docs/protocol.md'), 'utf8')
  const ids = tokenizer.encode(readme).slice(0, 1024)
  await writeFile(join(folder, 'prompt.json'), JSON.stringify(ids))
  for (const length of lengths) {
    // A word that is one token with its space: as many words, as many tokens.
    const text = Array.from({ length }, () => 'the').join(' ')
    if (tokenizer.encode(text).length !== length) throw new Error(`the prompt of ${length} tokens has ${tokenizer.encode(text).length}`)
    await writeFile(join(folder, `prompt-${length}.txt`), text)
  }
}
