/** What the browser tells of whether the question is in full view; Chromium also tells whether something covers it. */
import { leastRatio, type Look } from './consent.ts'

/** The shortest that browsers allow where they look for covers, ms. */
const lookEveryMs = 100

/** Newer than what TypeScript knows of. */
type SeeingEntry = IntersectionObserverEntry & { readonly isVisible?: boolean }

export function watchGaze(question: Element, looked: (look: Look) => void): void {
  const tellsCovers = 'isVisible' in IntersectionObserverEntry.prototype
  const options = { threshold: [0, leastRatio, 1], ...(tellsCovers ? { trackVisibility: true, delay: lookEveryMs } : {}) }
  const observer = new IntersectionObserver((entries: readonly SeeingEntry[]) => {
    for (const { time, intersectionRatio, isVisible } of entries)
      looked({ at: time, ratio: intersectionRatio, visible: tellsCovers ? isVisible === true : undefined })
  }, options)
  observer.observe(question)
}
