/** The ways in which a network is broken while it answers. Each says what it did and what the asker saw. */
import type { Message } from '../../sdk/types.ts'
import { answerDisturbed, type Disturbed } from './answer.ts'
import type { ChaosOptions, ScenarioName } from './options.ts'
import { stageCount, type Pool } from './pool.ts'
import { found, type Found } from './report.ts'

const story = 'Tell me a story about a lighthouse and the people who keep it.'
const question: readonly Message[] = [{ role: 'user', content: story }]
const maxTokens = 64
/** For a context of a thousand tokens. */
const longPrompt = (words: number): readonly Message[] => [
  { role: 'user', content: `${Array.from({ length: words }, (_, i) => `word${i % 97}`).join(' ')}\n${story}` },
]
/** Standbys have run the prompt by then, with all the others on one machine. */
const warmAt = 112
const longTokens = 192
/** Of ten parts of time a slow one computes in one. */
const slowTurnMs = 100
const slowShare = 0.1

/** Of what the server wrote, told where an answer did not come right. */
const toldChars = 6_000

type Scenario = (pool: Pool, options: Pick<ChaosOptions, 'positions' | 'rounds'>, say: (line: string) => void) => Promise<Found>

export const scenarios: Readonly<Record<Exclude<ScenarioName, 'processes' | 'settlement'>, Scenario>> = {
  kill: async (pool, { positions }, say) => {
    const cases = Array.from({ length: stageCount * positions }, (_, i) => ({
      stage: i % stageCount,
      at: 1 + Math.floor((Math.floor(i / stageCount) * (maxTokens - 4)) / positions),
    }))
    return course(pool, say, 'kill', `each stage's browser killed at ${positions} positions`, question, cases, ({ stage }) =>
      pool.stage(stage).tab.browser.group.signal('SIGKILL'),
    )
  },
  long: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: stageCount * rounds }, (_, i) => ({ stage: i % stageCount, at: warmAt + 2 * i }))
    const kill = ({ stage }: Case) => pool.stage(stage).tab.browser.group.signal('SIGKILL')
    return course(
      pool,
      say,
      'long',
      'the same with a thousand tokens of context, the standbys warm',
      longPrompt(330),
      cases,
      kill,
      longTokens,
    )
  },
  freeze: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: stageCount * rounds }, (_, i) => ({ stage: i % stageCount, at: 5 + 3 * i }))
    return course(pool, say, 'freeze', "a stage's browser frozen", question, cases, ({ stage }) => {
      const { group } = pool.stage(stage).tab.browser
      group.signal('SIGSTOP')
      return () => group.kill()
    })
  },
  slow: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: stageCount * rounds }, (_, i) => ({ stage: i % stageCount, at: 5 + 2 * i }))
    return course(pool, say, 'slow', "a stage's browser slowed ten times", question, cases, ({ stage }) => {
      const { group } = pool.stage(stage).tab.browser
      const turns = setInterval(() => {
        group.signal('SIGSTOP')
        setTimeout(() => group.signal('SIGCONT'), slowTurnMs * (1 - slowShare))
      }, slowTurnMs)
      return async () => {
        clearInterval(turns)
        await group.kill()
      }
    })
  },
  two: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: rounds }, (_, i) => ({ stage: i % stageCount, at: 6 + 5 * i }))
    return course(pool, say, 'two', 'two stages killed at once', question, cases, ({ stage }) => {
      const both = [pool.stage(stage), pool.stage((stage + 1) % stageCount)]
      for (const { tab } of both) tab.browser.group.signal('SIGKILL')
    })
  },
  leave: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: stageCount * rounds }, (_, i) => ({ stage: i % stageCount, at: 5 + 3 * i }))
    return course(pool, say, 'leave', 'a volunteer stops by its button', question, cases, ({ stage }) => {
      const { tab } = pool.stage(stage)
      void tab.browser.page.getByTestId('stop').click()
      return () => tab.browser.close()
    })
  },
  offline: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: stageCount * rounds }, (_, i) => ({ stage: i % stageCount, at: 5 + 3 * i }))
    return course(pool, say, 'offline', "a stage's control socket is cut, its channels stay", question, cases, ({ stage }) => {
      const { tab } = pool.stage(stage)
      void tab.browser.context.setOffline(true)
      return () => tab.browser.close()
    })
  },
  server: async (pool, { rounds }, say) => {
    const cases = Array.from({ length: rounds }, (_, i) => ({ stage: 0, at: 4 + 4 * i }))
    return course(pool, say, 'server', 'the server killed and started again in the middle of an answer', question, cases, () => {
      const restarted = pool.restartServer(0)
      return () => restarted
    })
  },
}

interface Case {
  readonly stage: number
  readonly at: number
}

/** One answer a case, against the undisturbed one. `disturb` may give what is to be done after it. */
async function course(
  pool: Pool,
  say: (line: string) => void,
  scenario: string,
  what: string,
  messages: readonly Message[],
  cases: readonly Case[],
  disturb: (one: Case) => void | (() => unknown),
  length = maxTokens,
): Promise<Found> {
  await pool.fill()
  const right = (await pool.network.generate(pool.model.revision, messages, { maxTokens: length })).tokenIds
  const pauses: number[] = []
  const problems: string[] = []
  let same = 0
  for (const one of cases) {
    await pool.fill()
    let after: void | (() => unknown) = undefined
    const seen: Disturbed = await answerDisturbed(
      pool.network,
      pool.model.revision,
      messages,
      { maxTokens: length },
      one.at,
      () => (after = disturb(one)),
    )
    await (after as undefined | (() => unknown))?.()
    const equal = seen.error === undefined && seen.tokenIds.join() === right.join()
    if (equal) same += 1
    else {
      problems.push(`stage ${one.stage}, token ${one.at}: ${seen.error ?? 'another text'}`)
      say(pool.server.group.output.slice(-toldChars))
    }
    pauses.push(seen.pauseMs)
    say(
      `${scenario}, stage ${one.stage} at token ${one.at}: ${equal ? 'the same text' : problems.at(-1)}, pause ${Math.round(seen.pauseMs)} ms`,
    )
  }
  return found(scenario, what, pauses, same, cases.length, problems)
}
