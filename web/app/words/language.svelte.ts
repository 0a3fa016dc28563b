/**
 * The language that the page speaks: the browser's, until the person switches; only then is it kept. Every message reads it, so
 * that a switch changes what is shown at once, and nothing else.
 */
import { baseLocale, type Locale, overwriteGetLocale, toLocale } from '../../paraglide/runtime.js'

const storageKey = 'manyhands-language'

/** Each in its own words, as somebody looks for it who reads no other. */
export const languageNames: Readonly<Record<Locale, string>> = { en: 'English', de: 'Deutsch' }

class Language {
  current: Locale = $state(kept() ?? preferred())

  switchTo(locale: Locale): void {
    this.current = locale
    try {
      localStorage.setItem(storageKey, locale)
    } catch {
      // Without storage it lasts as long as the page.
    }
  }
}

export const language = new Language()
overwriteGetLocale(() => language.current)

function kept(): Locale | undefined {
  try {
    return toLocale(localStorage.getItem(storageKey))
  } catch {
    return undefined
  }
}

function preferred(): Locale {
  return navigator.languages.map((tag) => toLocale(tag.split('-')[0])).find((locale) => locale !== undefined) ?? baseLocale
}
