/** The findings as a table for people, or as JSON for programs. */
import type { Receipt } from '../../protocol/receipt.ts'
import type { Check } from './checks.ts'
import { counted } from './checks.ts'
import { shortId } from './places.ts'

export interface Findings {
  readonly proved: boolean
  readonly receipt: Receipt
  readonly checks: readonly Check[]
}

const marks = { ok: 'ok', wrong: 'WRONG', open: 'open' } as const

export function reportText({ proved, receipt, checks }: Findings): string {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const lines = checks.flatMap(({ name, verdict, says, wrong }) => [
    `  ${marks[verdict].padEnd(6)}${name.padEnd(width + 2)}${says}`,
    // The first stands above already.
    ...wrong.slice(1).map((one) => `  ${''.padEnd(width + 8)}${one}`),
  ])
  const failed = checks.filter(({ verdict }) => verdict !== 'ok').length
  const verdict = proved ? 'Proved.' : `Not proved: ${failed} of ${counted(checks.length, 'check')} did not come out right.`
  const head = `Receipt of request ${shortId(receipt.request)}, ${receipt.status}, of ${new Date(receipt.issuedAt).toISOString()}, model ${shortId(receipt.revision)}`
  return `${[head, ...lines, verdict].join('\n')}\n`
}

export function reportJson({ proved, receipt, checks }: Findings): string {
  const { request, session, revision, status, issuedAt, serverKey } = receipt
  return `${JSON.stringify({ proved, request, session, revision, status, issuedAt, serverKey, checks })}\n`
}
