/**
 * Reading text from pictures: `readPhoto` does all of it over a network, the rest are its parts, pure functions that stand before and
 * after a run of each model.
 */
export { readPhoto } from './photo.ts'
export { directionFeed, readDirections } from './direction.ts'
export { findText, type FoundText, type TextMap } from './find-text.ts'
export { linesFeed, parseCharacters, readLines, type LineReading } from './line.ts'
export { photoFeed, type PhotoFeed } from './photo-feed.ts'
export { cutOut, halfTurned, quarterTurned } from './cut-out.ts'
export { readingOrder } from './reading-order.ts'
export type { Point, Quad } from './rectangle.ts'
export type { Pixels } from './resample.ts'
export type { StripFeed } from './strip.ts'
export type * from './photo-types.ts'
