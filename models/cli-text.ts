/**
 * What the command `models` writes: tables, sizes, progress, and everything about one model.
 */
import type { Manifest } from '../protocol/manifest.ts'
import { dtypeSize } from '../protocol/tensors.ts'
import type { LibraryModel } from './library.ts'
import type { ImportProgress } from './progress.ts'

/** In decimal units, as disks and networks count. */
export function byteText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = ''
  while (value >= 1000 && units.length > 0) {
    value /= 1000
    unit = units.shift() as string
  }
  return `${value.toFixed(value < 100 ? 1 : 0)} ${unit}`
}

/** Columns as wide as their widest cell; the last one ends where it ends. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)))
  return all
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

const phases: Readonly<Record<ImportProgress['phase'], string>> = {
  downloading: 'Downloading from',
  unpacking: 'Unpacking',
  checking: 'Checking the file from',
  writing: 'Writing the weights of',
  golden: 'Computing the golden activations of',
}

export function progressLine({ phase, what, done, total, secondsLeft }: ImportProgress): string {
  const words = `${phases[phase]} ${what}`
  if (phase === 'golden') return `${words}, part ${done + 1} of ${total}`
  const amount = total > 0 ? `, ${byteText(done)} of ${byteText(total)} (${Math.floor((100 * done) / total)} %)` : ''
  return `${words}${amount}${secondsLeft === undefined ? '' : `, ${timeText(secondsLeft)} left`}`
}

const timeText = (seconds: number) => (seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`)

export function inspection({ manifest: m, revision, publication }: LibraryModel): string {
  const weights = m.shards.reduce((sum, shard) => sum + shard.bytes, 0)
  const facts: [string, string][] = [
    ['name', m.name],
    ['title', m.title],
    ['revision', revision],
    ['publisher', publication.publisher],
    ['task', m.task],
    ['licence', m.license],
    ['origin', m.origin || 'not said'],
    ['graph', byteText(m.graph.bytes)],
    ['weights', `${byteText(weights)} in ${m.shards.length} shards`],
    [
      'inputs',
      m.inputs
        .filter((input) => input.role !== 'past')
        .map(spec)
        .join(', '),
    ],
    [
      'outputs',
      m.outputs
        .filter((output) => output.role !== 'present')
        .map(spec)
        .join(', '),
    ],
  ]
  if (m.decoder) {
    const { layers, kvHeads, headDim, vocab, context, eos } = m.decoder
    facts.push([
      'decoder',
      `${layers} layers, ${kvHeads} key-value heads of ${headDim}, ${vocab} tokens, ${context} positions, ends at ${eos.join(' or ')}`,
    ])
  }
  if (m.embedding) {
    const { pooling, normalize, maxTokens } = m.embedding
    const of = pooling === 'mean' ? 'the mean of its tokens' : "its first token's"
    facts.push(['vectors', `of a text ${of}${normalize ? ', of length 1' : ''}; ${maxTokens} tokens at most`])
  }
  const total = m.blocks.reduce((sum, block) => sum + block.cost, 0) || 1
  const blocks = m.blocks.map((block, i) => {
    const bytes = block.shards.reduce((sum, shard) => sum + (m.shards[shard]?.bytes ?? 0), 0)
    const share = `${((100 * block.cost) / total).toFixed(1)} %`
    return [String(i), share, byteText(bytes), byteText(block.residentBytes), block.shards.join(' '), cutText(m, i)]
  })
  const head = facts.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join('')
  return `${head}\n${table(['block', 'compute', 'bytes', 'in memory', 'shards', 'what crosses after it'], blocks)}`
}

const spec = ({ name, dtype, shape }: { name: string; dtype: string; shape: readonly (string | number)[] }) =>
  `${name} ${dtype} [${shape.join(', ')}]`

/** Bytes of one row, where every other dimension is fixed. */
function cutText(m: Manifest, index: number): string {
  const cut = m.cuts[index]
  if (!cut) return ''
  return cut.tensors
    .map((tensor) => {
      const fixed = tensor.shape.filter((dim) => typeof dim === 'number')
      return `${spec(tensor)}, ${byteText(fixed.reduce((product, dim) => product * dim, dtypeSize[tensor.dtype]))} for each ${tensor.shape.filter((dim) => typeof dim === 'string').join(' x ') || 'run'}`
    })
    .join('; ')
}
