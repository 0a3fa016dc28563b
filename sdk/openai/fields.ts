/**
 * The fields of a request, read one by one: each is used, known to be of no consequence, or refused with a sentence that names
 * it. What nobody has read by the end is unknown and refused too, so that nothing is silently ignored.
 */
import { refused } from './api-error.ts'

type Json = Readonly<Record<string, unknown>>

export class Fields {
  readonly #json: Json
  readonly #path: string
  readonly #unread: Set<string>

  /** @param path of the object within the request, `messages[2]`; '' for the request itself */
  constructor(json: unknown, path = '') {
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw refused(path === '' ? 'The request is not a JSON object.' : `${path} is not an object.`, path || undefined)
    this.#json = json as Json
    this.#path = path
    this.#unread = new Set(Object.keys(json))
  }

  /** The field's own name in the request. */
  at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }

  /** An object that one of the fields holds. */
  within(name: string, value: unknown): Fields {
    return new Fields(value, this.at(name))
  }

  /** null counts as absent, as it does in OpenAI's API. */
  any(name: string): unknown {
    this.#unread.delete(name)
    return Object.hasOwn(this.#json, name) ? (this.#json[name] ?? undefined) : undefined
  }

  text(name: string): string | undefined {
    return this.#of(name, 'a text', (value) => typeof value === 'string') as string | undefined
  }

  /** @throws ApiError where it is missing */
  needed<T>(name: string, value: T | undefined): T {
    if (value === undefined) throw refused(`The request lacks '${this.at(name)}'.`, this.at(name), 'missing_required_parameter')
    return value
  }

  flag(name: string): boolean | undefined {
    return this.#of(name, 'true or false', (value) => typeof value === 'boolean') as boolean | undefined
  }

  number(name: string, least: number, most: number): number | undefined {
    const fits = (value: unknown) => typeof value === 'number' && value >= least && value <= most
    return this.#of(name, `a number from ${least} to ${most}`, fits) as number | undefined
  }

  whole(name: string, least: number, most: number): number | undefined {
    const fits = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
    return this.#of(name, `a whole number ${range}`, fits) as number | undefined
  }

  one<T extends string>(name: string, of: readonly T[]): T | undefined {
    const words = of.map((word) => `'${word}'`).join(' or ')
    return this.#of(name, words, (value) => of.includes(value as T)) as T | undefined
  }

  /** Of no consequence here: who asks, what for, how it is billed or cached. */
  harmless(...names: readonly string[]): void {
    for (const name of names) this.#unread.delete(name)
  }

  /** Can't be kept: taken only where it asks for nothing. @param why a sentence */
  cannot(name: string, why: string, asksNothing: (value: unknown) => boolean = () => false): void {
    const value = this.any(name)
    if (value === undefined || asksNothing(value)) return
    throw refused(`'${this.at(name)}' can't be kept: ${why}`, this.at(name), 'unsupported_parameter')
  }

  /** Everything has been read. */
  end(): void {
    const [unknown] = this.#unread
    if (unknown === undefined) return
    const name = unknown.slice(0, 100)
    throw refused(`'${this.at(name)}' is not a field that is known here.`, this.at(name), 'unknown_parameter')
  }

  #of(name: string, what: string, fits: (value: unknown) => boolean): unknown {
    const value = this.any(name)
    if (value === undefined || fits(value)) return value
    throw refused(`'${this.at(name)}' takes ${what}.`, this.at(name), 'invalid_value')
  }
}

/** What fields hold that ask for nothing. */
export const isEmpty = (value: unknown): boolean => typeof value === 'object' && value !== null && Object.keys(value).length === 0
export const isZero = (value: unknown): boolean => value === 0
export const isFalse = (value: unknown): boolean => value === false
