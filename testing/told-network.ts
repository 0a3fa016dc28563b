/** A requester's network whose answers say what the test tells them: see told-sessions.ts. */
import type { Network } from '../sdk/types.ts'
import { Generating } from '../sdk/requester/generation.ts'
import { pipelinesFor } from '../sdk/requester/verification.ts'
import { openaiFetch } from '../sdk/openai/fetch.ts'
import type { GenerateOptions, Message } from '../sdk/types.ts'
import { lettersManifest, lettersRevision, lettersTokenizer, ToldSessions } from './told-sessions.ts'

export interface Told {
  readonly input: string | readonly Message[]
  readonly options: GenerateOptions
}

export class ToldNetwork {
  readonly sessions = new ToldSessions()
  /** What `generate` was called with. */
  readonly told: Told[] = []

  /** Two tokens of prompt, whatever it is. */
  generate(_model: string, input: string | readonly Message[], options: GenerateOptions) {
    this.told.push({ input, options })
    const question = {
      manifest: lettersManifest,
      revision: lettersRevision,
      tokenizer: lettersTokenizer,
      eos: [0],
      ids: [1, 2],
      maxTokens: 32,
      sampling: { temperature: 0, topP: 1, seed: 7 },
      logprobs: options.logprobs,
      pipelines: pipelinesFor(options.verify),
      startedAt: 0,
      options,
    }
    return new Generating(this.sessions, Promise.resolve(question), options)
  }

  /** `net.fetch` of it, for a client. */
  readonly api: Network['fetch'] = (input, init) => openaiFetch(this.asNetwork, input, init)

  /** The same for a test that speaks for itself. */
  fetch(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return this.api(`https://any.example/v1/${path}`, { method: 'POST', body: JSON.stringify(body), ...init })
  }

  get asNetwork(): Network {
    return { generate: this.generate.bind(this) } as unknown as Network
  }
}

/** The values of a stream's events, as far as they are JSON. */
export async function eventsOf(response: Response): Promise<Record<string, unknown>[]> {
  const lines = (await response.text()).split('\n\n').filter((line) => line !== '')
  return lines.filter((line) => line !== 'data: [DONE]').map((line) => JSON.parse(line.slice('data: '.length)) as Record<string, unknown>)
}
