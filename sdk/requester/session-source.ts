/**
 * What generation.ts and run.ts need of the network: sessions, and telling the server which of them differ. The network
 * (network.ts) is one; tests have another.
 */
import type { Bytes } from '../../protocol/bytes.ts'
import type { ManyhandsError } from '../../protocol/errors.ts'
import type { Step } from '../../protocol/frames.ts'
import type { Revision, SessionId } from '../../protocol/ids.ts'
import type { Finish } from '../../protocol/link-messages.ts'
import type { OddsWanted, TokenOdds } from '../../protocol/logprobs.ts'
import type { Content, ReceiptFileJson } from '../../protocol/receipt-file.ts'
import type { Receipt } from '../../protocol/receipt.ts'
import type { Sampling } from '../../protocol/sampling.ts'
import type { Ticket } from '../../protocol/ticket.ts'
import type { CallOptions } from '../types.ts'
import type { SessionNews } from './session-news.ts'

export interface SessionTerms {
  readonly revision: Revision
  readonly maxPositions: number
  readonly sampling: Sampling | null
  /** Tensors that a row of the prompt, and of the answer, has. */
  readonly tensors: { readonly feeds: number; readonly answer: number }
  /** Sessions whose volunteers must not take part. */
  readonly apart?: SessionId[]
  /** The session that this one does again. */
  readonly corrects?: SessionId
}

/** A row of the answer; with the token's odds where they are wanted. */
export type OnStep = (step: Step, odds?: TokenOdds) => void

/** A session ready to start; see asking.ts. */
export interface OpenSession {
  readonly ticket: Ticket
  readonly ended: Promise<{ finish: Finish; signature: Bytes | undefined }>
  start(promptLength: number, maxTokens: number, odds?: OddsWanted): void
  send(position: number, rows: number, payload: Uint8Array): void
  flush(): Promise<void>
  stop(): void
  fail(error: ManyhandsError): void
  /** The server hears of an answer that is not what was signed. @throws ManyhandsError bad-signature */
  checkAnswer(answer: Uint8Array, signature: Bytes | undefined): Promise<void>
}

/** What a receipt's file needs beside the receipts. */
export interface Told {
  readonly prompt: Content
  readonly answer: Content
  readonly answerSignature: Bytes
}

export interface SessionSource {
  /** @throws ManyhandsError no-volunteers, busy, context-overflow, peer-lost, aborted … */
  open(terms: SessionTerms, onStep: OnStep, options: CallOptions): Promise<{ asking: OpenSession; news: SessionNews }>
  /** These sessions answered differently. */
  dispute(sessions: readonly SessionId[]): void
  /** Everything that proves an answer, as a file. @throws ManyhandsError unavailable, not-found */
  record(receipt: Receipt, told: Told): Promise<ReceiptFileJson>
}
