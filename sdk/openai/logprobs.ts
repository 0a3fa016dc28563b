/** Odds of tokens in OpenAI's two shapes: chat completions list them, completions have them in columns. */
import type { AnswerToken, LikelyToken } from '../types.ts'

/** A token's text; where its bytes are only part of a character, the bytes as OpenAI spells them. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
  }
}

const listed = ({ bytes, logprob }: LikelyToken) => ({ token: textOf(bytes), bytes: [...bytes], logprob })

export const chatLogprobs = (tokens: readonly AnswerToken[]) => ({
  content: tokens.map((token) => ({ ...listed(token), top_logprobs: token.top.map(listed) })),
  refusal: null,
})

/** A text's columns, token by token, over as many pieces as it comes in. */
export class TextLogprobs {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  /** Characters before the next token. */
  #offset = 0

  add(tokens: readonly AnswerToken[]) {
    return {
      tokens: tokens.map(({ bytes }) => textOf(bytes)),
      token_logprobs: tokens.map(({ logprob }) => logprob),
      top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ bytes, logprob }) => [textOf(bytes), logprob]))),
      text_offset: tokens.map(({ bytes }) => this.#advance(bytes)),
    }
  }

  #advance(bytes: Uint8Array): number {
    const at = this.#offset
    this.#offset += Array.from(this.#decoder.decode(bytes, { stream: true })).length
    return at
  }
}
