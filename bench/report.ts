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
