/**
 * Words in a table, in the language of the moment: read, not called, so that a table reads as one of words.
 */
export type Said<K extends string> = { readonly [key in K]: string }

/** Properties that ask for their message each time they are read. */
export function said<K extends string, Rest extends object>(messages: Readonly<Record<K, () => string>>, rest: Rest): Said<K> & Rest {
  const words = { ...rest }
  for (const [key, message] of Object.entries<() => string>(messages)) Object.defineProperty(words, key, { get: message, enumerable: true })
  return words as Said<K> & Rest
}
