/**
 * The frame's page up to the visitor's click, and what steers the work after it. Until the click it stores, opens and probes
 * nothing; the click is judged in consent.ts, and nothing else starts anything.
 */
import { settingsOf, type HostWord, type WidgetState } from '../wire.ts'
import { Consent, type ConsentButton, type Pointing } from './consent.ts'
import { watchGaze } from './gaze.ts'
import type { Giving, Standing } from './giving.ts'
import { Host } from './host.ts'
import { View } from './view.ts'

const { project = '', name = '' } = document.documentElement.dataset
/** Half of the time: the visitor may choose more or less. */
const usualPower = 0.5

const view = new View(name)
const consent = new Consent()
let settings = settingsOf({})
let chosenPower = usualPower
let giving: Giving | undefined
/** Between the click and the first state. */
let starting = false
/** What was to be loaded did not come: browsers remember that for as long as the page lives. */
let unloaded = false
/** The site's own pause holds whether anything is there to be paused or not. */
let sitePauses = false
/** The site revoked while it was starting. */
let revokedMeanwhile = false
let state: WidgetState = 'off'
let pausedBy: Standing['pausedBy']

const tell = (now: WidgetState, by?: Standing['pausedBy']) => {
  state = now
  pausedBy = by
  host.tell({ t: 'state', state, reason: view.reason(state, by) })
}

const power = () => Math.min(chosenPower, settings.maxPower)

/** What makes work impossible, however much the visitor wants it. */
function trouble(): string | undefined {
  if (parent === window) return view.words.alone
  if (self.origin === 'null') return view.words.broken
  if (!isSecureContext) return view.words.insecure
  return project === '' ? view.words.unknown : undefined
}

function heard(word: HostWord): void {
  if (word.t === 'configure') {
    settings = word.settings
    show()
    giving?.setPower(power())
  } else if (word.t === 'revoke') {
    revokedMeanwhile = starting
    void stop(false)
  } else {
    sitePauses = word.t === 'pause'
    if (sitePauses) giving?.pause('site')
    else giving?.resume('site')
  }
}

/** All words anew, as the site's choices have them. */
function show(): void {
  view.configure(settings)
  view.showPower(chosenPower, settings.maxPower)
  const broken = trouble()
  if (broken !== undefined) return unable(broken)
  if (giving) view.standing(giving.standing, giving.pauses('visitor'))
  else if (state === 'stopped' || state === 'failed') view.over(view.title(state), view.reason(state), true)
  tell(state, pausedBy)
}

function unable(why: string): void {
  view.part('over', false)
  view.over(view.title('unable'), why, false)
  tell('unable')
}

/** A click on one of the two buttons that may start it. */
function clicked(button: ConsentButton, event: MouseEvent): void {
  if (giving || starting || trouble() !== undefined) return
  const verdict = consent.clicked({ button, at: event.timeStamp, trusted: event.isTrusted, detail: event.detail })
  if (verdict === 'again') view.again(true)
  else if (verdict === 'ask') {
    view.part('confirm', true)
    tell('asking')
  } else if (verdict === 'start') void start()
}

async function start(): Promise<void> {
  starting = true
  revokedMeanwhile = false
  view.part('giving', true)
  const first: Standing = { state: 'starting', detail: '' }
  view.standing(first, false)
  tell('starting')
  try {
    const { Giving } = await import('./giving.ts')
    if (revokedMeanwhile) return over('stopped')
    giving = new Giving(project, power(), changed)
    if (sitePauses) giving.pause('site')
    changed(giving.standing)
  } catch {
    unloaded = true
    over('failed', view.words.unloaded)
  } finally {
    starting = false
  }
}

function changed(standing: Standing): void {
  if (!giving) return
  view.standing(standing, giving.pauses('visitor'))
  if (standing.state !== state || standing.pausedBy !== pausedBy) tell(standing.state, standing.pausedBy)
}

/** @param focus the visitor's own word, who goes on reading here */
async function stop(focus: boolean): Promise<void> {
  const ending = giving
  giving = undefined
  if (!ending) return
  await ending.stop()
  over('stopped', undefined, focus)
}

function over(how: 'stopped' | 'failed', why = view.reason(how), focus = false): void {
  consent.declined()
  view.over(view.title(how), why, true)
  view.part('over', focus)
  tell(how)
}

async function forget(): Promise<void> {
  view.forget.disabled = true
  try {
    const { forgetAll } = await import('./forget.ts')
    await forgetAll()
    view.over(view.title(state), view.words.forgotten, true)
    view.forget.hidden = true
  } finally {
    view.forget.disabled = false
  }
}

function backToQuestion(): void {
  if (unloaded) return location.reload()
  consent.declined()
  view.part('consent', true)
  tell('off')
}

const host = new Host(heard)
show()
watchGaze(view.question, (look) => consent.looked(look))
const pointing: Readonly<Record<string, Pointing['t']>> = {
  pointerenter: 'enter',
  pointermove: 'move',
  pointerdown: 'down',
  pointerleave: 'leave',
}
for (const button of ['give', 'yes'] as const) {
  view[button].addEventListener('click', (event) => clicked(button, event))
  for (const [type, t] of Object.entries(pointing)) {
    view[button].addEventListener(type, (raised) => {
      const event = raised as PointerEvent
      const { timeStamp: at, isTrusted: trusted, pointerType: kind, clientX, clientY, screenX, screenY } = event
      consent.pointed({ t, button, at, kind, trusted, client: [clientX, clientY], screen: [screenX, screenY] })
    })
  }
}
view.no.addEventListener('click', backToQuestion)
view.back.addEventListener('click', backToQuestion)
view.forget.addEventListener('click', () => void forget())
view.stop.addEventListener('click', () => void stop(true))
view.pause.addEventListener('click', () => (giving?.pauses('visitor') ? giving.resume('visitor') : giving?.pause('visitor')))
view.power.addEventListener('input', () => {
  chosenPower = view.power.valueAsNumber / 100
  view.showPower(chosenPower, settings.maxPower)
  giving?.setPower(power())
})
new ResizeObserver(() => host.tell({ t: 'height', pixels: document.documentElement.getBoundingClientRect().height })).observe(
  document.documentElement,
)
