/** What a part of the bench found: a table, and what was asked of it. */

export interface Part {
  readonly title: string
  /** How it was measured, in a line or two. */
  readonly how: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Figures that were promised, and whether they hold. */
  readonly promises: readonly Promised[]
}

export interface Promised {
  readonly what: string
  readonly measured: string
  readonly holds: boolean
}

export const promise = (what: string, measured: number, holds: boolean, digits = 2): Promised => ({
  what,
  measured: measured.toFixed(digits),
  holds,
})

export function partText({ title, how, head, rows, promises }: Part): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const table = [line(head), line(head.map(() => '---')), ...rows.map(line)]
  const promised = promises.map(({ what, measured, holds }) => `- ${holds ? 'holds' : '**does not hold**'}: ${what}; measured ${measured}`)
  return [`## ${title}`, how, '', ...table, '', ...promised].join('\n').trimEnd()
}

/** A report with some parts measured anew: each takes the place of the one with its title, or comes at the end. */
export function withParts(report: string, parts: readonly string[]): string {
  const [head = '', ...sections] = report.trimEnd().split(/\n+(?=## )/)
  const titleOf = (section: string) => section.slice(0, section.indexOf('\n'))
  const fresh = new Map(parts.map((part) => [titleOf(part), part]))
  const kept = sections.map((section) => fresh.get(titleOf(section)) ?? section)
  const known = new Set(sections.map(titleOf))
  return `${[head, ...kept, ...parts.filter((part) => !known.has(titleOf(part)))].join('\n\n')}\n`
}
