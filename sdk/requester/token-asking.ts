/**
 * One asking of a question, by one pipeline or by a quorum: tokens are given out as far as enough pipelines agree on them,
 * as text.
 */
import type { SessionId } from '../../protocol/ids.ts'
import type { AnswerPiece, Finish, Generated, Timing } from '../types.ts'
import { AnswerText } from './answer-text.ts'
import type { Asked } from './follow.ts'
import type { Question } from './question.ts'
import { Quorum } from './quorum.ts'
import type { SessionSource } from './session-source.ts'
import { TokenBranch } from './token-branch.ts'
import { TokenPipeline, type TokenAnswer } from './token-pipeline.ts'

/** An answer, and the pipelines that agree on it. */
export interface TokensAgreed {
  readonly generated: Generated
  readonly pipelines: readonly TokenPipeline[]
}

export class TokenAsking implements Asked<TokensAgreed> {
  readonly answer: Promise<TokensAgreed>
  readonly quorum: Quorum<TokenAnswer, TokenPipeline>
  readonly text: AnswerText
  readonly #question: Question
  readonly #corrects: SessionId | undefined
  readonly #branch: TokenBranch

  /** @param say takes the text as it becomes certain */
  constructor(source: SessionSource, question: Question, corrects: SessionId | undefined, say: (piece: AnswerPiece) => void) {
    const { revision, tokenizer, eos, options } = question
    this.#question = question
    this.#corrects = corrects
    this.text = new AnswerText(tokenizer, eos, options.stop, say)
    this.quorum = new Quorum(question.pipelines, corrects, {
      open: (terms) => TokenPipeline.open(source, question, { ...terms, revision }, options, () => this.#advance()),
      agree: (a, b) => this.#branch.agree(a.pipeline, b.pipeline),
      dispute: (sessions) => source.dispute(sessions),
    })
    this.#branch = new TokenBranch(this.quorum.size)
    this.answer = this.#ask()
    this.answer.catch(() => undefined)
  }

  async #ask(): Promise<TokensAgreed> {
    const { onProgress } = this.#question.options
    if (await this.quorum.start()) onProgress?.({ phase: 'prompt', promptTokens: this.#question.ids.length })
    const pipelines = await this.quorum.agreed
    const [{ ticket, arrivals, answer }] = pipelines as readonly [TokenPipeline]
    const { finish } = await answer
    this.#say(pipelines)
    this.text.end()
    const generated: Generated = {
      text: this.text.text,
      tokenIds: this.text.keptIds,
      promptTokens: this.#question.ids.length,
      finish: this.text.stopped ? ('stop' satisfies Finish) : finish,
      stages: ticket.stages.map(({ peer, blocks, backend }) => ({ peer, blocks, backend })),
      timing: timing(this.#question.startedAt, arrivals, ticket.stages.length),
      ticket,
      corrected: this.#corrects !== undefined,
      ...(this.#question.logprobs === undefined ? {} : { tokens: this.text.tokens }),
    }
    return { generated, pipelines }
  }

  #advance(): void {
    const lines = this.quorum.candidates.flatMap((c) => (c.failure ? [] : [c.pipeline]))
    this.#say(lines)
    if (this.text.stopped) {
      this.#branch.closed = true
      for (const line of lines) if (line.ids.length >= this.#branch.ids.length) line.stop()
    }
    this.quorum.check()
  }

  #say(lines: readonly TokenPipeline[]): void {
    const from = this.#branch.ids.length
    const agreed = this.#branch.advance(lines)
    // Of those who agree, the first one's odds: they are not agreed on.
    const line = lines.find((one) => one.ids.length >= this.#branch.ids.length && this.#branch.keeps(one))
    agreed.forEach((id, i) => this.text.push(id, line?.odds[from + i]))
    if (agreed.length > 0) this.#question.options.onProgress?.({ phase: 'answer', tokens: this.#branch.ids.length })
  }
}

function timing(startedAt: number, arrivals: TokenPipeline['arrivals'], links: number): Timing {
  const first = arrivals[0]
  const last = arrivals.at(-1)
  const decodeMs = first && last ? last.at - first.at : 0
  const hopMs = arrivals.slice(1).map(({ at, computeMs }, i) => Math.max(0, at - (arrivals[i]?.at ?? at) - computeMs) / links)
  return {
    firstTokenMs: first ? first.at - startedAt : 0,
    tokensPerSecond: decodeMs > 0 ? ((arrivals.length - 1) * 1000) / decodeMs : 0,
    hopMs,
  }
}
