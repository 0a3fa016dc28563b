/** Days and times as people read them, in their language. */
import { getLocale } from '../../paraglide/runtime.js'

/** A day of the calendar that all servers share (UTC), `2026-11-26`: `26 Nov`. */
export const dayWords = (day: string): string =>
  new Intl.DateTimeFormat(getLocale(), { day: 'numeric', month: 'short', timeZone: 'UTC' }).format(new Date(`${day}T00:00:00Z`))

/** With the year, of a moment (ms since 1970). */
export const dateWords = (ms: number): string => new Intl.DateTimeFormat(getLocale(), { dateStyle: 'medium' }).format(new Date(ms))

/** The time of day, of a moment (ms since 1970). */
export const timeWords = (ms: number): string => new Intl.DateTimeFormat(getLocale(), { timeStyle: 'medium' }).format(new Date(ms))
