/**
 * What the element on a site's page and our frame inside it say to each other. Each side reads the other's words here and believes
 * nothing else: the page can't say more than this, so it can't start anything, and hears no more of the visitor than this.
 */

/** How things stand, for the site's page. */
export const widgetStates = [
  'opening', // the frame is not here yet
  'blocked', // the frame did not come: the page's policy, the project's sites, or the network
  'unable', // the frame is here and can't work: the page changed how it is embedded
  'off', // waits for the visitor
  'asking', // the visitor is asked a second time
  'elsewhere', // another tab or widget on this site gives; this one takes over when that ends
  'starting', // connecting, fetching, checking
  'waiting', // ready, and nothing to do
  'giving',
  'paused',
  'stopped',
  'failed', // and tries again where that helps
] as const
export type WidgetState = (typeof widgetStates)[number]

export const themes = ['auto', 'light', 'dark'] as const
export const sizes = ['card', 'compact'] as const

/** What a site may choose. */
export interface Settings {
  readonly theme: (typeof themes)[number]
  readonly size: (typeof sizes)[number]
  /** A language tag: `de`, `en-GB`. */
  readonly lang: string
  /** The share of time it may compute at most, 0.1 to 1; the visitor's own choice may only be lower. */
  readonly maxPower: number
}

export type HostWord =
  | { readonly t: 'configure'; readonly settings: Settings }
  | { readonly t: 'pause' }
  /** Takes back the page's own pause, never the visitor's. */
  | { readonly t: 'resume' }
  | { readonly t: 'revoke' }

export type FrameWord =
  | { readonly t: 'ready' }
  | { readonly t: 'state'; readonly state: WidgetState; readonly reason: string }
  /** Its content's, in CSS pixels. */
  | { readonly t: 'height'; readonly pixels: number }

/** Frames of a page get all sorts of messages: ours say whose they are. */
const mark = 'manyhands-widget/1'
const maxReasonChars = 300
const maxLangChars = 35

export const wrapped = (word: HostWord | FrameWord) => ({ ...word, mark })

export const leastPower = 0.1

/** An attribute's or a message's number, within what there is. */
export const powerOf = (value: unknown): number => {
  const power = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof power === 'number' && power >= 0 ? Math.min(1, Math.max(leastPower, power)) : 1
}

/** Whatever is not one of the words becomes the usual. */
export const settingsOf = (given: { readonly [Name in keyof Settings]?: unknown }): Settings => ({
  theme: themes.find((theme) => theme === given.theme) ?? 'auto',
  size: sizes.find((size) => size === given.size) ?? 'card',
  lang: typeof given.lang === 'string' ? given.lang.slice(0, maxLangChars) : '',
  maxPower: powerOf(given.maxPower),
})

/** Undefined: none of ours. */
export function readHostWord(data: unknown): HostWord | undefined {
  if (!isOurs(data)) return undefined
  const { t, settings } = data
  if (t === 'pause' || t === 'resume' || t === 'revoke') return { t }
  return t === 'configure' && isRecord(settings) ? { t, settings: settingsOf(settings) } : undefined
}

export function readFrameWord(data: unknown): FrameWord | undefined {
  if (!isOurs(data)) return undefined
  const { t, reason, pixels } = data
  if (t === 'ready') return { t }
  if (t === 'height') return typeof pixels === 'number' && pixels >= 0 ? { t, pixels } : undefined
  const state = widgetStates.find((one) => one === data['state'])
  return t === 'state' && state && typeof reason === 'string' ? { t, state, reason: reason.slice(0, maxReasonChars) } : undefined
}

type Fields = { readonly [name: string]: unknown }

const isRecord = (data: unknown): data is Fields => typeof data === 'object' && data !== null
const isOurs = (data: unknown): data is Fields => isRecord(data) && data['mark'] === mark
