/**
 * `<many-hands project="p_…">`: what a site puts into its page. It makes the frame, which belongs to the server's own origin, tells
 * it what the site chose, and tells the site how things stand. It computes, stores and asks nothing itself: the click that starts is
 * the frame's alone to judge.
 */
import { version } from '../../package.json'
import { powerOf, readFrameWord, settingsOf, wrapped, type HostWord, type WidgetState } from './wire.ts'

export type { WidgetState } from './wire.ts'

/** Of the event `statechange`. */
export interface WidgetChange {
  readonly state: WidgetState
  /** A sentence for the visitor, in the widget's language. */
  readonly reason: string
}

/** A frame of five kilobytes that has not spoken by then was blocked: browsers don't tell. It is believed when it speaks later. */
const openingMs = 10_000
/** What a frame may make of itself, in CSS pixels. */
const [leastHeight, mostHeight] = [44, 640]

const words = {
  en: {
    title: 'Manyhands: lend this tab',
    opening: 'The widget is loading.',
    blocked: (server: string) =>
      `The widget can't be shown: this page's security policy doesn't allow frames of ${server}, this site is not one of the project's, or ${server} is out of reach.`,
    project: 'The widget has no project: give the element a project attribute.',
    server: 'The widget has no server: load its script from one, or give the element a server attribute.',
  },
  de: {
    title: 'Manyhands: diesen Tab ausleihen',
    opening: 'Das Widget lädt.',
    blocked: (server: string) =>
      `Das Widget kann nicht gezeigt werden: Die Sicherheitsregeln dieser Seite lassen Rahmen von ${server} nicht zu, die Seite gehört nicht zum Projekt, oder ${server} ist nicht erreichbar.`,
    project: 'Dem Widget fehlt das Projekt: Das Element braucht ein Attribut project.',
    server: 'Dem Widget fehlt der Server: Das Skript muss von einem geladen werden, oder das Element braucht ein Attribut server.',
  },
} as const

const css = `:host { display: block; max-width: 30rem } :host([hidden]) { display: none }
iframe:not([hidden]) { display: block; width: 100%; height: 9rem; border: 0; color-scheme: auto }`

/** Where there is no page, as on a server that renders one, it can be imported all the same. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement)

let scriptServer: string | undefined

export class ManyHandsElement extends Base {
  static readonly observedAttributes = ['project', 'server', 'theme', 'size', 'lang', 'max-power']
  #state: WidgetState = 'opening'
  #reason = ''
  #frame: HTMLIFrameElement | undefined
  #origin = ''
  #spoke = false
  /** Between connected and disconnected; an element that was there before its script is told of its attributes first. */
  #shown = false
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #listen = (event: MessageEvent) => this.#heard(event)

  get state(): WidgetState {
    return this.#state
  }

  /** A sentence for the visitor. */
  get reason(): string {
    return this.#reason
  }

  /** Until {@link resume}; what the visitor paused stays paused whatever the page does. */
  pause(): void {
    this.#tell({ t: 'pause' })
  }

  resume(): void {
    this.#tell({ t: 'resume' })
  }

  /** Ends the giving, as if the visitor had stopped it: only the visitor's click begins another. */
  revoke(): void {
    this.#tell({ t: 'revoke' })
  }

  connectedCallback(): void {
    this.#shown = true
    addEventListener('message', this.#listen)
    this.#open()
  }

  disconnectedCallback(): void {
    this.#shown = false
    removeEventListener('message', this.#listen)
    this.#close()
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now || !this.#shown) return
    if (name !== 'project' && name !== 'server') return this.#configure()
    this.#close()
    this.#open()
  }

  #open(): void {
    const words = this.#words()
    const project = this.getAttribute('project')
    const server = originOf(this.getAttribute('server') ?? scriptServer)
    if (!project) return this.#block(words.project)
    if (!server) return this.#block(words.server)
    this.#origin = server
    this.#set('opening', words.opening)
    const frame = document.createElement('iframe')
    frame.title = words.title
    frame.setAttribute('sandbox', 'allow-scripts allow-same-origin')
    // Threads on a page that is isolated itself, in browsers that can't isolate a frame alone; and a look at how busy the device is.
    frame.allow = 'cross-origin-isolated; compute-pressure'
    frame.src = `${server}/w/${version}/frame.html?project=${encodeURIComponent(project)}`
    this.#frame = frame
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' })
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(css)
    root.adoptedStyleSheets = [sheet]
    root.append(frame)
    this.#timer = setTimeout(() => this.#block(words.blocked(new URL(server).host)), openingMs)
  }

  /** Said where whoever builds the page looks; visitors are not shown a browser's error page. */
  #block(reason: string): void {
    if (this.#frame) this.#frame.hidden = true
    console.warn(`<many-hands>: ${reason}`)
    this.#set('blocked', reason)
  }

  #close(): void {
    clearTimeout(this.#timer)
    this.#frame?.remove()
    this.#frame = undefined
    this.#spoke = false
  }

  #heard({ source, origin, data }: MessageEvent): void {
    if (!this.#frame || source !== this.#frame.contentWindow || origin !== this.#origin) return
    const word = readFrameWord(data)
    if (!word) return
    clearTimeout(this.#timer)
    this.#spoke = true
    this.#frame.hidden = false
    if (word.t === 'ready') this.#configure()
    else if (word.t === 'height') this.#frame.style.height = `${Math.min(mostHeight, Math.max(leastHeight, Math.ceil(word.pixels)))}px`
    else this.#set(word.state, word.reason)
  }

  #configure(): void {
    const [theme, size, lang] = [this.getAttribute('theme'), this.getAttribute('size'), this.#language()]
    this.#tell({ t: 'configure', settings: settingsOf({ theme, size, lang, maxPower: powerOf(this.getAttribute('max-power')) }) })
    if (this.#frame) this.#frame.title = this.#words().title
  }

  #tell(word: HostWord): void {
    if (this.#spoke) this.#frame?.contentWindow?.postMessage(wrapped(word), this.#origin)
  }

  #set(state: WidgetState, reason: string): void {
    if (state === this.#state && reason === this.#reason) return
    this.#state = state
    this.#reason = reason
    this.dispatchEvent(new CustomEvent<WidgetChange>('statechange', { detail: { state, reason }, bubbles: true, composed: true }))
  }

  #language(): string {
    return this.closest<HTMLElement>('[lang]')?.lang || navigator.language
  }

  #words() {
    return this.#language().toLowerCase().startsWith('de') ? words.de : words.en
  }
}

/** Makes the element known to the page, once. @param server whose frame it shows, where the element has no `server` attribute */
export function defineManyHands(server?: string): void {
  scriptServer ??= server
  if (!customElements.get('many-hands')) customElements.define('many-hands', ManyHandsElement)
}

function originOf(address: string | undefined): string | undefined {
  try {
    const { protocol, origin } = new URL(address ?? '')
    return /^https?:$/.test(protocol) ? origin : undefined
  } catch {
    return undefined
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'many-hands': ManyHandsElement
  }
  interface HTMLElementEventMap {
    statechange: CustomEvent<WidgetChange>
  }
}
