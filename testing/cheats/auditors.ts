/** Cheats of those who are asked to check others: they compute nothing, and copy what they are shown. */
import type { Cheat } from './cheat.ts'

/** Commits to hashes of nothing, and when sketches are wanted shows the other's as its own. */
export const copiedSketch: Cheat = {
  tells: (event) => {
    if (event.t !== 'server') return event
    const { message } = event
    if (message.t === 'audited') {
      const none = 'ab'.repeat(32) as typeof message.inputs
      return { t: 'server', message: { ...message, outputs: message.outputs.map((hashes) => hashes.map(() => none)) } }
    }
    if (message.t === 'sketched') return { t: 'server', message: { ...message, own: message.theirs } }
    return event
  },
}
