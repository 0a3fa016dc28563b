/** How the next answer is made sure of: the person's choice, for chats and pictures alike. */
import { m } from '../../paraglide/messages.js'
import type { Verification } from '../../../sdk/types.ts'
import { said, type Said } from '../words/said.ts'

const choice = <N extends string, P extends 1 | 2 | 3>(
  name: N,
  pipelines: P,
  verify: Verification,
  words: Readonly<Record<'title' | 'hint', () => string>>,
): Said<'title' | 'hint'> & { readonly name: N; readonly pipelines: P; readonly verify: Verification } =>
  said(words, { name, pipelines, verify })

export const checkings = [
  choice('audit', 1, 'audit', { title: m.playground_audit, hint: m.playground_audit_hint }),
  choice('two', 2, { quorum: 2 }, { title: m.playground_two, hint: m.playground_two_hint }),
  choice('three', 3, { quorum: 3 }, { title: m.playground_three, hint: m.playground_three_hint }),
] as const

export type Checking = (typeof checkings)[number]

export class CheckingStore {
  name: Checking['name'] = $state('audit')
  readonly choice: Checking = $derived(checkings.find(({ name }) => name === this.name) ?? checkings[0])
}
