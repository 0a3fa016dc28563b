import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'

type Messages = Record<string, unknown>

const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Messages
const files = readdirSync('web/messages/en')
const settings = read('web/project.inlang/settings.json') as { 'plugin.inlang.messageFormat': { pathPattern: string[] } }
/** What goes into a message: `{n}`, and what declarations name. */
const inputs = (message: unknown) => [...new Set(JSON.stringify(message).match(/\{\w+\}|input \w+/g))].sort()

describe.each(files)('the messages of %s', (file) => {
  const [en, de] = [read(`web/messages/en/${file}`), read(`web/messages/de/${file}`)]

  it('are compiled, and begin with the name of their area', () => {
    expect(settings['plugin.inlang.messageFormat'].pathPattern).toContain(`./messages/{locale}/${file}`)
    expect(Object.keys(en).filter((key) => !key.startsWith(`${basename(file, '.json')}_`))).toEqual([])
  })

  it('are the same ones in every language, with the same things put into them', () => {
    expect(Object.keys(de)).toEqual(Object.keys(en))
    for (const [key, message] of Object.entries(en)) expect([key, inputs(de[key])]).toEqual([key, inputs(message)])
  })

  it('are all used', () => {
    const sources = readdirSync('web/app', { recursive: true, encoding: 'utf8' }).filter((source) => /\.(ts|svelte)$/.test(source))
    const code = sources.map((source) => readFileSync(join('web/app', source), 'utf8')).join('\n')
    const used = new Set([...code.matchAll(/\bm\.(\w+)/g)].map(([, key]) => key))
    expect(Object.keys(en).filter((key) => !used.has(key))).toEqual([])
  })
})
