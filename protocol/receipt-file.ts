/**
 * The file that a requester saves of an answer: its receipts, what proves them, and what was asked and answered, so that
 * anyone can check it without the server (`npm run receipt`).
 */
import * as v from 'valibot'
import { fromBase64, toBase64 } from './base64.ts'
import { fromHex, toHex, type Bytes } from './bytes.ts'
import { ManyhandsError } from './errors.ts'
import { decodeEvidence, maxEvidenceBytes, type Evidence } from './evidence.ts'
import { maxMessageBytes, maxPositions } from './limits.ts'
import { receiptSchema, type Receipt } from './receipt.ts'
import { signatureSchema } from './ticket.ts'

/** Token ids of a decoder; the packed feeds or results of any other model, and how many tensors they are. */
export type Content = { readonly ids: readonly number[] } | { readonly packed: Bytes; readonly tensors: number }

export interface ReceiptFile {
  /** Where the receipts came from, as the requester knew it. */
  readonly server: string
  /** From the first to the last of its successors. */
  readonly receipts: readonly Receipt[]
  /** Of the last receipt's session. */
  readonly evidence: Evidence
  readonly prompt: Content
  /** All that the last stage sent, also what a stop string cut off. */
  readonly answer: Content
  readonly answerSignature: Bytes
}

/** A request is corrected a few times at most, each time provisionally and for good. */
const maxReceipts = 16
const base64Chars = (bytes: number) => Math.ceil(bytes / 3) * 4
/** Feeds and results at their largest, with as much again for the rest. */
export const maxReceiptFileChars = 3 * base64Chars(maxMessageBytes)

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most))
const base64 = (mostBytes: number) => v.pipe(v.string(), v.maxLength(base64Chars(mostBytes)))
const contentSchema = v.union([
  v.strictObject({ ids: v.pipe(v.array(count(2 ** 32 - 1)), v.maxLength(maxPositions)) }),
  v.strictObject({ packed: base64(maxMessageBytes), tensors: v.pipe(count(4096), v.minValue(1)) }),
])

export const receiptFileSchema = v.strictObject({
  v: v.literal(1),
  server: v.pipe(v.string(), v.maxLength(300)),
  receipts: v.pipe(v.array(receiptSchema), v.minLength(1), v.maxLength(maxReceipts)),
  evidence: base64(maxEvidenceBytes),
  prompt: contentSchema,
  answer: contentSchema,
  answerSignature: signatureSchema,
})
/** As it stands in the file. */
export type ReceiptFileJson = v.InferOutput<typeof receiptFileSchema>

/** What to save. @param evidence as the server gave it */
export function receiptFile(parts: Omit<ReceiptFile, 'evidence'> & { readonly evidence: Uint8Array }): ReceiptFileJson {
  return {
    v: 1,
    server: parts.server,
    receipts: [...parts.receipts],
    evidence: toBase64(parts.evidence),
    prompt: contentJson(parts.prompt),
    answer: contentJson(parts.answer),
    answerSignature: toHex(parts.answerSignature),
  }
}

/** Whole and well-formed; whether it proves anything is for its reader to check. @throws ManyhandsError bad-message */
export function readReceiptFile(text: string): ReceiptFile {
  if (text.length > maxReceiptFileChars) throw bad(`${text.length} characters are over the limit of ${maxReceiptFileChars}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw bad('it is not JSON', cause)
  }
  const parsed = v.safeParse(receiptFileSchema, value)
  if (!parsed.success) throw bad(`${v.getDotPath(parsed.issues[0]) ?? 'it'}: ${parsed.issues[0].message}`)
  const { server, receipts, evidence, prompt, answer, answerSignature } = parsed.output
  return {
    server,
    receipts,
    evidence: decodeEvidence(fromBase64(evidence)),
    prompt: readContent(prompt),
    answer: readContent(answer),
    answerSignature: fromHex(answerSignature),
  }
}

type ContentJson = v.InferOutput<typeof contentSchema>

const contentJson = (content: Content): ContentJson =>
  'ids' in content ? { ids: [...content.ids] } : { packed: toBase64(content.packed), tensors: content.tensors }

const readContent = (json: ContentJson): Content => ('ids' in json ? json : { packed: fromBase64(json.packed), tensors: json.tensors })

const bad = (what: string, cause?: unknown) => new ManyhandsError('bad-message', `Receipt file refused: ${what}.`, { cause })
