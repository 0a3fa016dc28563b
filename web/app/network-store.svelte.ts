/**
 * This page's connection as one who asks: made when the playground is first opened, shared by everything that asks, and
 * the list of models kept fresh for as long as somebody looks at it.
 */
import { asError, type ManyhandsError } from '../../protocol/errors.ts'
import type { ModelInfo, Network, NetworkState } from '../../sdk/types.ts'
import type { Sdk } from './sdk.ts'

/** Availability changes when a tab opens or closes; a person should see it within some seconds. */
const refreshMs = 4000

export class NetworkStore {
  state: NetworkState = $state('closed')
  /** Undefined until the server has answered once. */
  models: readonly ModelInfo[] | undefined = $state.raw()
  error: ManyhandsError | undefined = $state.raw()
  /** Name or revision of the model to ask, from the URL or the picker. */
  #wanted = $state(new URLSearchParams(location.search).get('model') ?? '')
  readonly model: ModelInfo | undefined = $derived(this.models?.find((m) => m.name === this.#wanted || m.revision === this.#wanted))
  readonly #sdk: Sdk
  #network: Promise<Network> | undefined

  constructor(sdk: Sdk) {
    this.#sdk = sdk
  }

  /** Asks this model from now on; the URL says so, to be shared or reloaded. */
  choose(name: string): void {
    this.#wanted = name
    const url = new URL(location.href)
    url.searchParams.set('model', name)
    history.replaceState(null, '', url)
  }

  /** @throws ManyhandsError when no connection can be made; the next call tries again. */
  network(): Promise<Network> {
    this.#network ??= this.#connect()
    return this.#network
  }

  async refresh(): Promise<void> {
    try {
      this.models = await (await this.network()).models()
      this.error = undefined
      if (this.#wanted === '') this.#wanted = firstChoice(this.models)?.name ?? ''
    } catch (thrown) {
      this.error = asError(thrown)
    }
  }

  /** Keeps `models` fresh while the page is visible. @returns how to stop it */
  watch(): () => void {
    void this.refresh()
    const timer = setInterval(() => document.visibilityState === 'visible' && void this.refresh(), refreshMs)
    return () => clearInterval(timer)
  }

  async #connect(): Promise<Network> {
    this.state = 'connecting'
    try {
      const network = await this.#sdk.connect({ server: location.origin })
      this.state = network.state
      network.addEventListener('state', () => (this.state = network.state))
      return network
    } catch (thrown) {
      this.state = 'closed'
      this.#network = undefined
      throw thrown
    }
  }
}

/** Who names none meets one that can be asked now, and of those a chat, or else one that reads. */
function firstChoice(models: readonly ModelInfo[]): ModelInfo | undefined {
  const tasks: readonly ModelInfo['task'][] = ['image-to-text', 'text-generation']
  const rank = ({ availability, task }: ModelInfo) => (availability === 'available' ? tasks.length + 1 : 0) + tasks.indexOf(task)
  return models.toSorted((a, b) => rank(b) - rank(a))[0]
}
