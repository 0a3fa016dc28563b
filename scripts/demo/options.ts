/** What `npm run demo -- …` can be told. */
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import type { Message } from '../../sdk/types.ts'
import { Misuse, readArguments, readNumber } from '../arguments.ts'

export const help = `Usage: npm run demo -- [options]

Starts a server and volunteers in browsers of their own, and has them answer a prompt together.

  --model MODEL        a name of the catalogue or library, or a GGUF or ONNX file; a chat model by default
  --stages N           volunteers, one stage each (3)
  --prompt TEXT        what the chat model is asked
  --messages FILE      a whole chat instead: JSON, [{"role": "user", "content": "…"}, …]
  --max-tokens N       length of the answer at most (128)
  --temperature T      0 (default) always takes the likeliest token
  --seed N             with a temperature: the same seed gives the same text
  --port P             the site's port (8080, or a free one when that is taken)
  --data DIR           models and keys (.manyhands)
  --once               end after the answer instead of leaving the site up
  --json               progress on stderr; the last line of stdout is the result as JSON
`

export interface DemoOptions {
  readonly model: string | undefined
  readonly stages: number
  readonly messages: readonly Message[]
  readonly maxTokens: number
  readonly temperature: number
  readonly seed: number | undefined
  readonly port: number | undefined
  readonly data: string
  readonly once: boolean
  readonly json: boolean
}

const defaultPrompt = 'Why do many hands make light work?'
const messagesSchema = v.pipe(
  v.array(v.strictObject({ role: v.picklist(['system', 'user', 'assistant']), content: v.string() })),
  v.minLength(1),
)

/** @returns undefined when help was asked for. @throws Misuse */
export async function parseDemoOptions(args: readonly string[]): Promise<DemoOptions | undefined> {
  const values = parsed(args)
  if (values.help) return undefined
  if (values.prompt !== undefined && values.messages !== undefined) throw new Misuse('Give --prompt or --messages, not both.')
  return {
    model: values.model,
    stages: readNumber('stages', values.stages ?? '3', { least: 1, most: 8, whole: true }),
    messages:
      values.messages === undefined ? [{ role: 'user', content: values.prompt ?? defaultPrompt }] : await readMessages(values.messages),
    maxTokens: readNumber('max-tokens', values['max-tokens'] ?? '128', { least: 1, most: 100_000, whole: true }),
    temperature: readNumber('temperature', values.temperature ?? '0', { least: 0, most: 10, whole: false }),
    seed: values.seed === undefined ? undefined : readNumber('seed', values.seed, { least: 0, most: 2 ** 32 - 1, whole: true }),
    port: values.port === undefined ? undefined : readNumber('port', values.port, { least: 0, most: 65_535, whole: true }),
    data: values.data,
    once: values.once,
    json: values.json,
  }
}

const parsed = (args: readonly string[]) =>
  readArguments({
    args: [...args],
    options: {
      model: { type: 'string' },
      stages: { type: 'string' },
      prompt: { type: 'string' },
      messages: { type: 'string' },
      'max-tokens': { type: 'string' },
      temperature: { type: 'string' },
      seed: { type: 'string' },
      port: { type: 'string' },
      data: { type: 'string', default: '.manyhands' },
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values

async function readMessages(path: string): Promise<Message[]> {
  let json: unknown
  try {
    json = JSON.parse(await readFile(path, 'utf8'))
  } catch (thrown) {
    throw new Misuse(`${path} can't be read as JSON: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  }
  const messages = v.safeParse(messagesSchema, json)
  if (!messages.success) throw new Misuse(`${path} is not a list of messages: [{"role": "user", "content": "…"}, …].`)
  return messages.output
}
