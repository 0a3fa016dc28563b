/**
 * The small files that lie beside a safetensors file and say what its tensors mean: config.json, tokenizer.json and their
 * kin. From its folder, or handed in by name.
 */
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { fromUtf8, type Bytes } from '../protocol/bytes.ts'
import { ManyhandsError } from '../protocol/errors.ts'
import { maxTokenizerBytes } from '../protocol/limits.ts'

/** A file's bytes by its name (`config.json`, `1_Pooling/config.json`); nothing where there is none. */
export type Beside = (name: string) => Promise<Bytes | undefined>

export const besideOf =
  (files: Readonly<Record<string, Bytes>>): Beside =>
  async (name) =>
    Object.hasOwn(files, name) ? files[name] : undefined

export const besidePath =
  (path: string): Beside =>
  async (name) => {
    const file = await open(join(dirname(path), name), 'r').catch(() => undefined)
    if (!file) return undefined
    try {
      const found = await file.stat()
      if (!found.isFile()) throw badFile(name, 'it is no file')
      const { size } = found
      if (size > maxTokenizerBytes) throw badFile(name, `it has ${size} bytes; at most ${maxTokenizerBytes} are read`)
      return new Uint8Array(await file.readFile())
    } finally {
      await file.close()
    }
  }

/** @throws ManyhandsError not-found, saying what the file is needed for */
export async function neededBeside(beside: Beside, name: string, what: string): Promise<Bytes> {
  const bytes = await beside(name)
  if (!bytes) throw new ManyhandsError('not-found', `A safetensors file says nothing of ${what}: put the model's ${name} beside it.`)
  return bytes
}

/** @throws ManyhandsError bad-model, naming the file and the first thing wrong */
export function parseBeside<T>(name: string, bytes: Uint8Array, schema: v.GenericSchema<unknown, T>): T {
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(bytes))
  } catch {
    throw badFile(name, 'it is not JSON')
  }
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) throw badFile(name, `${v.getDotPath(parsed.issues[0]) ?? 'it'}: ${parsed.issues[0].message}`)
  return parsed.output
}

export const badFile = (name: string, what: string) => new ManyhandsError('bad-model', `${name} refused: ${what}.`)
