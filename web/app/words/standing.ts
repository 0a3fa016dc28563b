/** How far this tab is trusted and why, in plain words. Pure. */
import type { StandingInfo } from '../../../sdk/types.ts'
import { count, counted } from './numbers.ts'
import type { Tone } from './phases.ts'

export interface StandingWords {
  readonly title: string
  readonly text: string
  readonly tone: Tone
}

export function standingWords({ state, agreements, needed, strikes }: StandingInfo): StandingWords {
  const agreed = `${counted(agreements, 'piece')} of your work ${agreements === 1 ? 'was' : 'were'} computed by others too, with the same outcome.`
  switch (state) {
    case 'new': {
      const before = strikes > 0 ? ' It began anew after a result of yours differed from what others computed.' : ''
      return {
        title: 'New here',
        text: `Your work is checked against others’ first: ${count(agreements)} of ${counted(needed, 'agreement')}. After that it goes into answers without waiting for a check.${before}`,
        tone: 'wait',
      }
    }
    case 'proven':
      return { title: 'Proven', text: `${agreed} A few are still checked now and then, as everyone’s are.`, tone: 'good' }
    case 'anchor':
      return { title: 'Vouched for', text: 'Whoever runs this server has named this volunteer as one to rely on.', tone: 'good' }
    case 'barred':
      return {
        title: 'Not relied on',
        text: `What others computed differed from your results ${strikes === 1 ? 'once' : `${count(strikes)} times`}, so they go into no answers. It may be the graphics driver or a browser’s error, and nobody’s fault: another browser, or an updated one, often helps.`,
        tone: 'bad',
      }
  }
}
