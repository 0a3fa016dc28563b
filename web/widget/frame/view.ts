/** The frame's elements: which part is shown, with what words. Decides nothing. */
import type { Settings, WidgetState } from '../wire.ts'
import type { Standing } from './giving.ts'
import { fill, pickWords, type Words } from './words.ts'

const get = (id: string) => document.getElementById(id) as HTMLElement
const mebibyte = 2 ** 20

export class View {
  readonly give = get('give') as HTMLButtonElement
  readonly yes = get('yes') as HTMLButtonElement
  readonly no = get('no') as HTMLButtonElement
  readonly pause = get('pause') as HTMLButtonElement
  readonly stop = get('stop') as HTMLButtonElement
  readonly back = get('back') as HTMLButtonElement
  readonly forget = get('forget') as HTMLButtonElement
  readonly power = get('power') as HTMLInputElement
  readonly question = get('question')
  readonly #values: Readonly<Record<string, string>>
  #words: Words = pickWords().words

  /** @param project its name */
  constructor(project: string) {
    this.#values = { project, server: location.host }
  }

  get words(): Words {
    return this.#words
  }

  configure({ theme, size, lang }: Settings): void {
    const root = document.documentElement
    const picked = pickWords(lang, ...navigator.languages)
    this.#words = picked.words
    root.lang = picked.lang
    root.dataset['theme'] = theme
    root.dataset['size'] = size
    for (const element of document.querySelectorAll<HTMLElement>('[data-word]')) {
      const word = this.#words[element.dataset['word'] as keyof Words]
      if (typeof word === 'string') element.textContent = fill(word, this.#values)
    }
  }

  /** The first question, the second, the work, or what is left to say. @param focus where the visitor acted: to the part's heading */
  part(shown: 'consent' | 'confirm' | 'giving' | 'over', focus: boolean): void {
    for (const id of ['consent', 'confirm', 'giving', 'over']) get(id).hidden = id !== shown
    this.question.hidden = shown !== 'consent' && shown !== 'confirm'
    this.again(false)
    // To the heading, never to a button: a key that is held down would press it.
    if (focus) (shown === 'consent' ? this.give : document.querySelector<HTMLElement>(`#${shown} h1`))?.focus()
  }

  /** Says that a click did not count, and why. */
  again(shown: boolean): void {
    const notice = get('again')
    notice.hidden = !shown
    notice.textContent = shown ? this.#words.again : ''
  }

  standing({ state, pausedBy, detail, progress }: Standing, visitorPauses: boolean): void {
    get('state').textContent = this.title(state)
    // The server's own sentence where only it knows: that the project has ended, or what would take more memory.
    const theirs = (state === 'failed' || state === 'waiting') && detail !== ''
    const why = theirs ? detail : this.reason(state, pausedBy)
    const reason = get('reason')
    reason.lang = theirs ? 'en' : document.documentElement.lang
    reason.textContent = [why, ...this.#progress(progress)].join(' ')
    const bar = get('progress') as HTMLProgressElement
    bar.hidden = !progress
    if (progress) {
      bar.max = progress.totalBytes
      bar.value = progress.doneBytes
      bar.setAttribute('aria-label', this.title(state))
    }
    this.pause.textContent = visitorPauses ? this.#words.goOn : this.#words.pause
    // There is nothing to pause while another tab gives.
    this.pause.hidden = state === 'elsewhere'
  }

  /** Bytes, and the time left where it is known. */
  #progress(progress: Standing['progress']): string[] {
    if (!progress || progress.totalBytes === 0) return []
    const { doneBytes, totalBytes, secondsLeft } = progress
    const [done = '', total = ''] = [doneBytes, totalBytes].map((bytes) => (bytes / mebibyte).toFixed(totalBytes < 10 * mebibyte ? 1 : 0))
    const left = secondsLeft === undefined ? [] : [fill(this.#words.left, { seconds: String(Math.ceil(secondsLeft)) })]
    return [fill(this.#words.bytes, { done, total }), ...left]
  }

  showPower(chosen: number, most: number): void {
    const percent = (share: number) => `${Math.round(share * 100)} %`
    this.power.value = String(Math.round(chosen * 100))
    const value = percent(Math.min(chosen, most))
    get('power-value').textContent = chosen > most ? fill(this.#words.most, { value, most: percent(most) }) : value
  }

  over(title: string, reason: string, again: boolean): void {
    get('over-title').textContent = title
    get('over-reason').textContent = reason
    this.back.hidden = !again
    this.forget.hidden = !again
  }

  title(state: WidgetState): string {
    return this.#words.states[state][0]
  }

  reason(state: WidgetState, pausedBy?: Standing['pausedBy']): string {
    return state === 'paused' && pausedBy ? this.#words.pauses[pausedBy] : this.#words.states[state][1]
  }
}
