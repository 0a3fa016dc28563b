/**
 * `manyhands models add|list|inspect|carve|remove`: manages the library of models that a server offers.
 */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { asError, ManyhandsError } from '../protocol/errors.ts'
import { catalogue, catalogueEntry } from './catalogue.ts'
import { carveToFiles } from './cli-carve.ts'
import { byteText, inspection, progressLine, table } from './cli-text.ts'
import { openLibrary, type Library, type LibraryModel } from './library.ts'
import type { OnProgress } from './progress.ts'

const help = `Usage: manyhands models COMMAND [--data DIR]
       npm run models -- COMMAND [--data DIR]     in a clone

  add NAME|FILE           add a model of the catalogue, or a GGUF, safetensors or ONNX file
                          (a safetensors file with its config.json and tokenizer.json beside it)
                          [--name NAME] [--title TEXT] [--license SPDX] for a file
                          [--dim NAME=SIZE] size of a symbolic dimension of an ONNX model in its check run, as often as needed
  list                    models in the library, and those that the catalogue offers
  inspect MODEL           blocks, cuts, bytes, licence
  carve MODEL|FILE --stages N --out DIR
                          write stage-1.onnx ... stage-N.onnx with their weights beside them, for any onnxruntime >= 1.20
  remove MODEL            remove a model and the files that no other one uses

MODEL is a name, or a revision or its first 8 digits. --data is the library's folder; .manyhands where you are, by default.
`

export interface CliOutput {
  out(text: string): void
  /** Progress and errors. */
  err(text: string): void
  /** Whether `err` shows a line that can be written over. */
  readonly live: boolean
}

/** Exit codes: done; failed; not understood. */
const done = 0
const failed = 1
const misused = 2

/** @returns the exit code; never throws */
export async function runCli(args: readonly string[], output: CliOutput, signal?: AbortSignal): Promise<number> {
  try {
    const { positionals, values } = parsed(args)
    const [command, subject, ...rest] = positionals
    if (values.help || command === undefined) {
      output.out(help)
      return command === undefined && !values.help ? misused : done
    }
    const wantsSubject = command !== 'list'
    if (rest.length > 0 || (subject !== undefined) !== wantsSubject)
      throw new Misuse(`${command} takes ${wantsSubject ? 'one model' : 'no model'}`)
    const library = openLibrary(resolve(values.data))
    await runCommand(command, subject ?? '', values, library, output, signal)
    return done
  } catch (thrown) {
    if (thrown instanceof Misuse) {
      output.err(`${thrown.message}. See manyhands models --help\n`)
      return misused
    }
    output.err(`${asError(thrown).message}\n`)
    return failed
  }
}

class Misuse extends Error {}

type Values = ReturnType<typeof parsed>['values']

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string', default: '.manyhands' },
        help: { type: 'boolean', short: 'h', default: false },
        name: { type: 'string' },
        title: { type: 'string' },
        license: { type: 'string' },
        dim: { type: 'string', multiple: true },
        stages: { type: 'string' },
        out: { type: 'string' },
      },
    })
  } catch (thrown) {
    // Node's advice on dashes comes on lines of its own.
    throw new Misuse(asError(thrown).message.split(/\.?\n|\.$/)[0])
  }
}

async function runCommand(
  command: string,
  subject: string,
  values: Values,
  library: Library,
  output: CliOutput,
  signal?: AbortSignal,
): Promise<void> {
  switch (command) {
    case 'add': {
      const model = await add(subject, values, library, output, signal)
      output.out(`${model.manifest.name} ${model.revision}\n`)
      return
    }
    case 'list':
      output.out(listing(await library.models()))
      return
    case 'inspect':
      output.out(inspection(await library.find(subject)))
      return
    case 'carve': {
      const stages = Number(values.stages)
      if (!Number.isInteger(stages) || stages < 1) throw new Misuse('carve needs --stages N, 1 or more')
      if (values.out === undefined) throw new Misuse('carve needs --out DIR')
      const written = await carveToFiles(subject, stages, resolve(values.out), library, { dims: dims(values.dim), signal })
      output.out(
        table(
          ['stage', 'blocks', 'bytes'],
          written.map((s) => [s.path, `${s.range.first + 1} to ${s.range.end}`, byteText(s.bytes)]),
        ),
      )
      return
    }
    case 'remove': {
      const { revision, manifest } = await library.find(subject)
      await library.remove(revision)
      output.out(`removed ${manifest.name} ${revision}\n`)
      return
    }
    default:
      throw new Misuse(`${command} is no command`)
  }
}

async function add(subject: string, values: Values, library: Library, output: CliOutput, signal?: AbortSignal): Promise<LibraryModel> {
  const onProgress = progressTo(output)
  const options = { onProgress, ...(signal ? { signal } : {}) }
  try {
    if (catalogueEntry(subject)) return await library.add(subject, options)
    if (!(await stat(subject).catch(() => undefined))?.isFile()) {
      const names = catalogue.map((entry) => entry.name).join(', ')
      throw new ManyhandsError('not-found', `${subject} is neither in the catalogue (${names}) nor a file.`)
    }
    const { name, title, license } = values
    const said = { ...(name ? { name } : {}), ...(title ? { title } : {}), ...(license ? { license } : {}) }
    return await library.addFile(resolve(subject), { ...options, ...said, goldenDims: dims(values.dim) })
  } finally {
    if (output.live) output.err('\r\x1b[K')
  }
}

/** A terminal's line is written over; elsewhere only a change of phase is told. */
function progressTo(output: CliOutput): OnProgress {
  let last = ''
  return (progress) => {
    if (output.live) return output.err(`\r\x1b[K${progressLine(progress)}`)
    const phase = `${progress.phase} ${progress.what}`
    if (phase !== last) output.err(`${progressLine(progress)}\n`)
    last = phase
  }
}

function dims(given: readonly string[] | undefined): Record<string, number> {
  return Object.fromEntries(
    (given ?? []).map((text) => {
      const [, name, size] = /^(.+)=([1-9]\d{0,6})$/.exec(text) ?? []
      if (name === undefined) throw new Misuse(`--dim is NAME=SIZE, not ${text}`)
      return [name, Number(size)]
    }),
  )
}

function listing(models: readonly LibraryModel[]): string {
  const rows = models.map(({ revision, manifest: m }) => {
    const bytes = m.graph.bytes + m.shards.reduce((sum, shard) => sum + shard.bytes, 0)
    return [m.name, revision.slice(0, 12), m.task, byteText(bytes), String(m.blocks.length), m.license]
  })
  const held = new Set(models.map((model) => model.manifest.name))
  const offered = catalogue
    .filter((entry) => !held.has(entry.name))
    .map((entry) => `  ${entry.name}  ${entry.title}, ${byteText(entry.weights.bytes)}, ${entry.license}\n`)
  const listed = rows.length === 0 ? 'No models yet.\n' : table(['name', 'revision', 'task', 'bytes', 'blocks', 'licence'], rows)
  return offered.length === 0 ? listed : `${listed}\nTo be added by name:\n${offered.join('')}`
}
