/**
 * The conversation: questions, answers as they stream in, and the settings they are asked with.
 */
import type { Correction, GenerateOptions, Message } from '../../../sdk/types.ts'
import type { NetworkStore } from '../network-store.svelte.ts'
import { change, type Change } from '../words/changes.ts'
import { Asked } from './asked.svelte.ts'
import type { Checking, CheckingStore } from './checking.svelte.ts'

export class Turn extends Asked {
  readonly question: string
  /** Title of the model that answers. */
  readonly model: string
  answer = $state('')
  finish: 'stop' | 'length' | undefined = $state()
  /** What a correction changed. */
  change: Change | undefined = $state.raw()

  constructor(question: string, model: string, checking: Checking) {
    super(checking)
    this.question = question
    this.model = model
  }

  correct({ answer, reason }: Correction): void {
    this.change = change(this.answer, answer.text)
    this.answer = answer.text
    this.replaced(reason)
  }
}

const defaults = { maxTokens: 256, temperature: 0, topP: 1 }

/** A field that was emptied (null) means its default. */
export class ChatSettings {
  system = $state('')
  maxTokens: number | null = $state(defaults.maxTokens)
  temperature: number | null = $state(defaults.temperature)
  topP: number | null = $state(defaults.topP)
  /** Drawn anew for every answer when null. */
  seed: number | null = $state(null)

  options(): GenerateOptions {
    const base = {
      maxTokens: this.maxTokens ?? defaults.maxTokens,
      temperature: this.temperature ?? defaults.temperature,
      topP: this.topP ?? defaults.topP,
    }
    return this.seed === null ? base : { ...base, seed: this.seed }
  }
}

export class ChatStore {
  readonly settings = new ChatSettings()
  turns: Turn[] = $state([])
  readonly #network: NetworkStore
  readonly #checking: CheckingStore
  readonly busy: boolean = $derived(this.turns.at(-1)?.over === false)

  constructor(network: NetworkStore, checking: CheckingStore) {
    this.#network = network
    this.#checking = checking
  }

  async ask(model: { readonly revision: string; readonly title: string }, question: string): Promise<void> {
    if (this.busy) return
    const messages = this.#messages(question)
    const { choice } = this.#checking
    const turn = new Turn(question, model.title, choice)
    this.turns.push(turn)
    try {
      const network = await this.#network.network()
      const generation = network.generate(model.revision, messages, {
        ...this.settings.options(),
        verify: choice.verify,
        signal: turn.signal,
        onProgress: turn.progress.bind(turn),
        onCorrection: turn.correct.bind(turn),
      })
      for await (const piece of generation) turn.answer += piece
      const { stages, timing, finish } = await generation
      turn.finish = finish === 'length' ? 'length' : 'stop'
      turn.done(stages, generation, timing)
    } catch (thrown) {
      turn.fail(thrown)
    }
  }

  /** The last question once more; what it brought the first time is dropped. */
  async again(model: { readonly revision: string; readonly title: string }): Promise<void> {
    const last = this.turns.at(-1)
    if (!last?.over) return
    this.turns.pop()
    await this.ask(model, last.question)
  }

  stop(): void {
    this.turns.at(-1)?.stop()
  }

  clear(): void {
    this.stop()
    this.turns = []
  }

  /** The conversation so far; a turn without any answer is left out, since chat templates want the two to alternate. */
  #messages(question: string): Message[] {
    const system: Message[] = this.settings.system.trim() ? [{ role: 'system', content: this.settings.system.trim() }] : []
    const past = this.turns
      .filter((turn) => turn.answer !== '')
      .flatMap((turn): Message[] => [
        { role: 'user', content: turn.question },
        { role: 'assistant', content: turn.answer },
      ])
    return [...system, ...past, { role: 'user', content: question }]
  }
}
