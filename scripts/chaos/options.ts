/** What `npm run chaos -- …` can be told. */
import { Misuse, readArguments, readNumber } from '../arguments.ts'

export const help = `Usage: npm run chaos -- [options]

Breaks a network while it answers, in every way that is promised to be survived, and measures the pause that the asker sees.

  --only NAMES     some of: kill, long, freeze, slow, two, leave, offline, server, processes, settlement (with commas)
  --positions N    of an answer's course at which each stage is killed (16)
  --rounds N       of freeze, slow, two, leave, offline and server (5); of settlement 20 times as many
  --model MODEL    of the catalogue or library (smollm2-135m-instruct)
  --data DIR       models (.manyhands)
  --json           progress on stderr; the last line of stdout is the result as JSON
`

export const scenarioNames = ['kill', 'long', 'freeze', 'slow', 'two', 'leave', 'offline', 'server', 'processes', 'settlement'] as const
export type ScenarioName = (typeof scenarioNames)[number]

export interface ChaosOptions {
  readonly only: readonly ScenarioName[]
  readonly positions: number
  readonly rounds: number
  readonly model: string
  readonly data: string
  readonly json: boolean
}

const counted = { least: 1, most: 9_999, whole: true }

/** @returns undefined when help was asked for. @throws Misuse */
export function parseChaosOptions(args: readonly string[]): ChaosOptions | undefined {
  const values = parsed(args)
  if (values.help) return undefined
  const only = values.only?.split(',') ?? scenarioNames
  const unknown = only.find((name) => !(scenarioNames as readonly string[]).includes(name))
  if (unknown !== undefined) throw new Misuse(`There is no '${unknown}'. There are: ${scenarioNames.join(', ')}.`)
  return {
    only: only as readonly ScenarioName[],
    positions: readNumber('positions', values.positions, counted),
    rounds: readNumber('rounds', values.rounds, counted),
    model: values.model,
    data: values.data,
    json: values.json,
  }
}

const parsed = (args: readonly string[]) =>
  readArguments({
    args: [...args],
    options: {
      only: { type: 'string' },
      positions: { type: 'string', default: '16' },
      rounds: { type: 'string', default: '5' },
      model: { type: 'string', default: 'smollm2-135m-instruct' },
      data: { type: 'string', default: '.manyhands' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values
