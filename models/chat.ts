/**
 * Text to token ids and back, at the requester: the first and the last thing that happens to an answer. Runs in a page as in
 * Node. What a message says can never become a control token: only the chat template writes those.
 */
import { Template } from '@huggingface/jinja'
import { Tokenizer } from '@huggingface/tokenizers'
import { fromUtf8, utf8, type Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { byteLevelBytes } from './token-bytes.ts'

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface ChatTokenizer {
  /** The ids of a text as it stands, control tokens written in it included. */
  encode(text: string): number[]
  /**
   * The ids of a conversation, up to where the model's answer begins.
   * @throws ManyhandsError bad-input when the template refuses the messages; unsupported when the model has no template
   */
  encodeChat(messages: readonly ChatMessage[]): number[]
  /** The text of ids, without control tokens. */
  decode(ids: readonly number[]): string
  /** The bytes that one id stands for, which may be only part of a character; of a control token its name's. */
  bytes(id: number): Bytes
  /** For ids that come one by one. */
  stream(): TextStream
}

export interface TextStream {
  /** The text that this id makes certain; '' while a character is incomplete. */
  push(id: number): string
  /** What was held back, once no more ids come. */
  end(): string
}

/**
 * @param json bytes of tokenizer.json
 * @param config bytes of tokenizer_config.json
 * @throws ManyhandsError bad-model
 */
export function createTokenizer(json: Uint8Array, config: Uint8Array): ChatTokenizer {
  const { whole, plain, settings, controls, added } = parseFiles(json, config)
  const decode = (ids: readonly number[]) => {
    const said = ids.filter((id) => !controls.has(id))
    return said.length === 0 ? '' : plain.decode(said)
  }
  const asPlainText = (text: string) => (text === '' ? [] : plain.encode(text, { add_special_tokens: false }).ids)

  let template: Template | undefined
  const render = (messages: readonly ChatMessage[]): string => {
    if (typeof settings.chat_template !== 'string')
      throw new ManyhandsError('unsupported', 'This model has no chat template: pass it plain text.')
    template ??= new Template(settings.chat_template)
    const names = { bos_token: settings.bos_token ?? '', eos_token: settings.eos_token ?? '' }
    try {
      return template.render({ ...names, messages, add_generation_prompt: true })
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new ManyhandsError('bad-input', `The model's chat template refuses these messages: ${why}`, { cause })
    }
  }

  return {
    encode: (text) => whole().encode(text, { add_special_tokens: false }).ids,
    decode,
    bytes: (id) => added.get(id) ?? byteLevelBytes(plain.id_to_token(id) ?? ''),
    stream: () => textStream(decode),
    encodeChat(messages) {
      checkRoles(messages)
      const mask = controls.hide(messages.map((m) => m.content))
      const text = render(messages.map(({ role, content }) => ({ role, content: mask.hidden(content) })))
      return controls.split(text).flatMap((part) => (typeof part === 'number' ? [part] : asPlainText(mask.shown(part))))
    },
  }
}

const roles: readonly string[] = ['system', 'user', 'assistant']

/** A role goes into the template as it is, so it must be one of the known words. */
function checkRoles(messages: readonly ChatMessage[]): void {
  if (messages.length === 0) throw new ManyhandsError('bad-input', 'A conversation needs at least one message.')
  for (const { role, content } of messages) {
    if (!roles.includes(role))
      throw new ManyhandsError('bad-input', `A message's role is ${roles.join(', ')}; this one is ${JSON.stringify(role)}.`)
    if (typeof content !== 'string') throw new ManyhandsError('bad-input', `A message's content must be text.`)
  }
}

/**
 * Text as far as it is certain: a trailing replacement character means that a character's bytes are still to come, so its ids
 * are held and decoded again with the next one. Decoding has no memory across whole characters.
 */
function textStream(decode: (ids: readonly number[]) => string): TextStream {
  let held: number[] = []
  const release = () => {
    const text = decode(held)
    held = []
    return text
  }
  return {
    push(id) {
      held.push(id)
      return held.length < maxHeldIds && decode(held).endsWith('\ufffd') ? '' : release()
    },
    end: release,
  }
}

/** A character has at most 4 bytes, a token at least one: bytes that make none by then never will. */
const maxHeldIds = 8

/** The control tokens of a vocabulary: found in what the template wrote, hidden in what people wrote. */
class Controls {
  private readonly ids: ReadonlyMap<string, number>
  private readonly known: ReadonlySet<number>
  private readonly pattern: RegExp

  constructor(ids: ReadonlyMap<string, number>) {
    this.ids = ids
    this.known = new Set(ids.values())
    const longestFirst = [...ids.keys()].sort((a, b) => b.length - a.length).map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
    this.pattern = longestFirst.length === 0 ? /(?!)/ : new RegExp(`(${longestFirst.join('|')})`)
  }

  has(id: number): boolean {
    return this.known.has(id)
  }

  /** Ids of the control tokens, and the text between them. */
  split(text: string): (number | string)[] {
    return text.split(this.pattern).map((part) => this.ids.get(part) ?? part)
  }

  /** Takes control tokens in `contents` out of the template's sight, each behind a mark that none of them contains. */
  hide(contents: readonly string[]): { hidden(text: string): string; shown(text: string): string } {
    let mark = '\u{f8000}'
    while (contents.some((text) => text.includes(mark))) mark += '\u{f8001}'
    const found: string[] = []
    const every = new RegExp(this.pattern, 'g')
    const placeholder = new RegExp(`${mark}(\\d+)\u{f8002}`, 'g')
    return {
      hidden: (text) => text.replace(every, (control) => `${mark}${found.push(control) - 1}\u{f8002}`),
      shown: (text) => text.replace(placeholder, (_, i: string) => found[Number(i)] ?? ''),
    }
  }
}

interface TokenizerFile {
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[]
}

interface ConfigFile {
  readonly chat_template?: unknown
  readonly bos_token?: unknown
  readonly eos_token?: unknown
}

interface ParsedFiles {
  /** Knows control tokens in a text; made when first wanted, since making one takes 0.1 s. */
  readonly whole: () => Tokenizer
  /** The same vocabulary, but control tokens written in a text stay text. */
  readonly plain: Tokenizer
  readonly settings: ConfigFile
  readonly controls: Controls
  /** Of tokens that are written as they are, in UTF-8, and not in the vocabulary's alphabet. */
  readonly added: ReadonlyMap<number, Bytes>
}

function parseFiles(json: Uint8Array, config: Uint8Array): ParsedFiles {
  try {
    const file = JSON.parse(fromUtf8(json)) as TokenizerFile
    const settings = JSON.parse(fromUtf8(config)) as ConfigFile
    const plain = new Tokenizer({ ...file, added_tokens: file.added_tokens.filter((token) => !token.special) }, settings)
    const controls = new Controls(new Map(file.added_tokens.filter((token) => token.special).map((token) => [token.content, token.id])))
    let whole: Tokenizer | undefined
    const added = new Map(file.added_tokens.map(({ id, content }) => [id, utf8(content)]))
    return { whole: () => (whole ??= new Tokenizer(file, settings)), plain, settings, controls, added }
  } catch (cause) {
    throw new ManyhandsError('bad-model', "The model's tokenizer files can't be read: import the model again.", { cause })
  }
}
