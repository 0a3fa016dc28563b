/** How the next answer is made sure of: the person's choice, for chats and pictures alike. */
import type { Verification } from '../../../sdk/types.ts'

export const checkings = [
  {
    name: 'audit',
    title: 'Checked afterwards',
    hint: 'It starts at once. Others then compute parts of it again; what they find wrong is corrected here.',
    verify: 'audit',
    pipelines: 1,
  },
  {
    name: 'two',
    title: 'Two must agree',
    hint: 'Two groups of volunteers who share nobody compute it. You see only what both came to.',
    verify: { quorum: 2 },
    pipelines: 2,
  },
  {
    name: 'three',
    title: 'Three must agree',
    hint: 'Three groups of volunteers who share nobody compute it. You see only what all three came to.',
    verify: { quorum: 3 },
    pipelines: 3,
  },
] as const satisfies readonly {
  readonly name: string
  readonly title: string
  readonly hint: string
  readonly verify: Verification
  readonly pipelines: number
}[]

export type Checking = (typeof checkings)[number]

export class CheckingStore {
  name: Checking['name'] = $state('audit')
  readonly choice: Checking = $derived(checkings.find(({ name }) => name === this.name) ?? checkings[0])
}
