/**
 * In which order the pieces of text on a page are read: rows from the top, a row's pieces from the left, and where rows stand in
 * columns, one column after the other. However the page lies: rows run as most of its text does.
 */
import type { Point, Quad } from './rectangle.ts'

/** A piece of text, upright: where it is once the page is turned so that its text runs to the right. */
interface Upright<T> {
  readonly of: T
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

/** Columns have a gap of this many line heights between them, and end where all of them have one; … */
const columnGap = 1
/** … two rows at least, and lines this many line heights wide: what is narrower is a table's column, read across. */
const columnRows = 2
const columnWidth = 6

/**
 * Rows in reading order, each from its left.
 * @param corners of a piece of text, from its own top left and round
 */
export function readingOrder<T>(pieces: readonly T[], corners: (piece: T) => Quad): T[][] {
  const { x: cos, y: sin } = direction(pieces.map(corners))
  const upright = pieces.map((of): Upright<T> => {
    const turned = corners(of).map(({ x, y }): Point => ({ x: x * cos + y * sin, y: y * cos - x * sin }))
    const xs = turned.map(({ x }) => x)
    const ys = turned.map(({ y }) => y)
    return { of, left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) }
  })
  return arranged(upright).map((row) => row.map(({ of }) => of))
}

/** Which way text runs, of length 1: as all lines together do, the longest most. */
function direction(boxes: readonly Quad[]): Point {
  let [x, y] = [0, 0]
  for (const [a, b, c, d] of boxes) {
    x += b.x - a.x + c.x - d.x
    y += b.y - a.y + c.y - d.y
  }
  const length = Math.hypot(x, y)
  return length > 0 ? { x: x / length, y: y / length } : { x: 1, y: 0 }
}

function arranged<T>(pieces: readonly Upright<T>[]): Upright<T>[][] {
  const line = median(pieces.map(({ top, bottom }) => bottom - top))
  const rows = rowsOf(pieces, line)
  const out: Upright<T>[][] = []
  for (let at = 0; at < rows.length;) {
    const side = sideBySide(rows.slice(at), line)
    if (side) {
      for (const column of side.columns) out.push(...arranged(column))
      at += side.rows
    } else {
      out.push(rows[at] as Upright<T>[])
      at += 1
    }
  }
  return out
}

/** A piece whose middle is within half a line of another's stands in its row. */
function rowsOf<T>(pieces: readonly Upright<T>[], line: number): Upright<T>[][] {
  const middle = ({ top, bottom }: Upright<T>) => (top + bottom) / 2
  const rows: Upright<T>[][] = []
  let at = -Infinity
  for (const piece of pieces.toSorted((a, b) => middle(a) - middle(b))) {
    if (middle(piece) - at > line / 2) rows.push([])
    const row = rows.at(-1) as Upright<T>[]
    row.push(piece)
    at = row.reduce((sum, p) => sum + middle(p), 0) / row.length
  }
  for (const row of rows) row.sort((a, b) => a.left - b.left)
  return rows
}

/** The columns that the first rows, as many as can, stand in; undefined where they stand in none. */
function sideBySide<T>(rows: readonly Upright<T>[][], line: number): { columns: Upright<T>[][]; rows: number } | undefined {
  /** What the rows so far take of the page's width, from the left. */
  let taken: { left: number; right: number }[] = []
  let last: { spans: typeof taken; rows: number } | undefined
  let bottom = Infinity
  for (const [i, row] of rows.entries()) {
    if (Math.min(...row.map(({ top }) => top)) - bottom > columnGap * line) break
    bottom = Math.max(i === 0 ? -Infinity : bottom, ...row.map((piece) => piece.bottom))
    for (const piece of row) taken = joined(taken, piece, columnGap * line)
    if (taken.length > 1) last = { spans: taken, rows: i + 1 }
    // A gap that is closed stays so; one that a first row alone would not show may come.
    else if (last || i > 0) break
  }
  if (!last || last.rows < columnRows) return undefined
  const pieces = rows.slice(0, last.rows).flat()
  const columns = last.spans.map(({ left, right }) => pieces.filter((p) => p.left >= left && p.right <= right))
  const isColumn = (of: readonly Upright<T>[]) =>
    rowsOf(of, line).length >= columnRows && median(of.map(({ left, right }) => right - left)) >= columnWidth * line
  return columns.every(isColumn) ? { columns, rows: last.rows } : undefined
}

/** With one span more; spans that have no gap between them become one. */
function joined(spans: readonly { left: number; right: number }[], { left, right }: { left: number; right: number }, gap: number) {
  const apart = spans.filter((span) => span.right + gap < left || span.left - gap > right)
  const near = spans.filter((span) => !apart.includes(span))
  const whole = { left: Math.min(left, ...near.map((s) => s.left)), right: Math.max(right, ...near.map((s) => s.right)) }
  return [...apart, whole].sort((a, b) => a.left - b.left)
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
