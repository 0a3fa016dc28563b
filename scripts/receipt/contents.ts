/**
 * What was asked and answered, against what was signed: the receipt's two hashes, the last stage's signature, and every chunk
 * that carried token ids, feeds or results. docs/protocol.md [RC2], [CU2].
 */
import { equalBytes, plainBytes, type Bytes } from '../../protocol/bytes.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import { answerHash, checkAnswer, promptHash, tokenBytes, type Receipt } from '../../protocol/receipt.ts'
import type { Content, ReceiptFile } from '../../protocol/receipt-file.ts'
import { tensorBytes } from '../../protocol/tensors.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import { counted, judged, type Check } from './checks.ts'
import { chunkText, partyText, type Place } from './places.ts'
import { wasReplaced, type Due, type Proven } from './proofs.ts'

/** What is hashed and signed of it. */
const contentBytes = (content: Content): Bytes => ('ids' in content ? tokenBytes(content.ids) : content.packed)
/** Positions it takes. */
export const contentRows = (content: Content): number => ('ids' in content ? content.ids.length : 1)
export const contentText = (content: Content, what: string): string =>
  'ids' in content ? counted(content.ids.length, `token`) : `${counted(content.tensors, 'tensor')} of ${what}`

/** Rows that each place owes an answer; one that was stopped may have had a further row under way. */
export function dueRows({ prompt, answer, evidence }: ReceiptFile): (place: Place) => Due {
  const [asked, answered] = [contentRows(prompt), contentRows(answer)]
  const all = 'ids' in answer ? asked + answered : 1
  // The last token is never fed back.
  const fed = 'ids' in answer ? (answered === 0 ? 0 : all - 1) : 1
  const wasRerouted = evidence.tickets.length > 1
  return (place) => {
    if (place === 'answer' || place === 'logits')
      return 'ids' in answer ? { from: asked, least: all, most: all } : { from: 0, least: 1, most: 1 }
    // A host that took over is sent the prompt and the tokens answered so far.
    if (place === 'prompt') return { from: 0, least: answered === 0 ? 0 : asked, most: wasRerouted ? all : asked }
    return { from: 0, least: fed, most: all }
  }
}

export async function checkContents(file: ReceiptFile, receipt: Receipt, ticket: Ticket): Promise<Check[]> {
  const { prompt, answer, answerSignature } = file
  const isDecoder = ticket.sampling !== null
  const kinds = [prompt, answer].every((content) => 'ids' in content === isDecoder)
  const host = ticket.stages.at(-1) as Ticket['stages'][number]
  const bytes = contentBytes(answer)
  const wrongPrompt =
    (await promptHash(contentBytes(prompt))) === receipt.promptHash ? [] : ['what was asked is not what the receipt is for']
  const wrongAnswer =
    (await answerHash(bytes, answerSignature)) === receipt.answerHash ? [] : ['the answer and its signature are not those of the receipt']
  const signed = await checkAnswer(receipt.session, bytes, host.key, answerSignature)
  return [
    judged(
      'kind',
      kinds ? [] : [`the session was for ${isDecoder ? 'tokens' : 'tensors'}, the file holds something else`],
      isDecoder ? 'tokens in, tokens out' : 'tensors in, tensors out',
    ),
    judged("prompt's hash", wrongPrompt, `of ${contentText(prompt, 'feeds')}`),
    judged("answer's hash", wrongAnswer, `of ${contentText(answer, 'results')}`),
    judged(
      "answer's signature",
      signed ? [] : [`not of ${partyText(ticket, host.peer)} over this answer`],
      `of ${partyText(ticket, host.peer)}`,
    ),
  ]
}

/** Every chunk on a link that carries what the file holds, against the file: nothing else was passed round or answered. */
export async function checkCarried(file: ReceiptFile, proven: readonly Proven[]): Promise<Check> {
  const others = await carriedOtherwise(file, proven)
  const replaced = others.filter((one) => wasReplaced(one, proven))
  const wrong = others.filter((one) => !replaced.includes(one))
  const equal = proven.filter(isCarried).length - others.length
  const also =
    replaced.length > 0 ? `; ${counted(replaced.length, 'chunk')} of rows that were sent again after a reroute can't be compared` : ''
  return judged(
    'what was carried',
    wrong.map(({ chunk, ticket }) => `${chunkText(ticket, chunk)}: carried something else than the file holds`),
    `${counted(equal, 'chunk')} of prompt, ring and answer are what the file holds${also}`,
  )
}

const isCarried = ({ place }: Proven): boolean => place === 'prompt' || place === 'ring' || place === 'answer'

/** Of prompt, ring and answer, the chunks that are not what the file holds. */
export async function carriedOtherwise(file: ReceiptFile, proven: readonly Proven[]): Promise<Proven[]> {
  const bytesOf = carrier(file)
  const others: Proven[] = []
  for (const one of proven.filter(isCarried)) {
    const { chunk, place } = one
    const bytes = bytesOf(place, chunk.firstPosition, chunk.rows)
    if (!bytes || !equalBytes(await sha256Bytes(bytes), chunk.payloadHash)) others.push(one)
  }
  return others
}

/** Tensor bytes of a place's rows; undefined where the file has none. */
function carrier({ prompt, answer }: ReceiptFile): (place: Place, position: number, rows: number) => Bytes | undefined {
  if ('ids' in prompt && 'ids' in answer) {
    const all = BigInt64Array.from([...prompt.ids, ...answer.ids], BigInt)
    return (_, position, rows) => (position + rows <= all.length ? new Uint8Array(all.slice(position, position + rows).buffer) : undefined)
  }
  return (place, position, rows) => {
    const content = place === 'answer' ? answer : prompt
    const whole = 'packed' in content && position === 0 && rows === 1
    return whole ? plainBytes(tensorBytes(content.packed, content.tensors)) : undefined
  }
}
