/** From opening the page to serving: the first visit and the second, on this machine and over a home line. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNetwork } from '../../e2e/harness/network.ts'
import { homeLine, slowLine, type LineTerms } from '../../e2e/harness/slow-line.ts'
import { joinAsVolunteer } from '../../e2e/harness/volunteer-tab.ts'
import type { LibraryModel } from '../../models/library.ts'
import { spread } from '../measure.ts'
import type { Part } from '../report.ts'

const servingMs = 300_000
const unlimited: LineTerms = { bitsPerSecond: 1e12, delayMs: 0 }

interface Visit {
  readonly seconds: number
  readonly megabytes: number
  /** Weights, in the page's words. */
  readonly weights: string
}

export async function visits(model: LibraryModel, library: string, rounds: number, say: (line: string) => void): Promise<Part> {
  const network = await startNetwork({ model, library, stages: 3, volunteers: [] })
  const seen: Record<'here cold' | 'here warm' | 'home cold' | 'home warm', Visit[]> = {
    'here cold': [],
    'here warm': [],
    'home cold': [],
    'home warm': [],
  }
  try {
    for (let round = 0; round < rounds; round++) {
      say(`visits, round ${round + 1} of ${rounds}`)
      for (const [where, terms] of [
        ['here', unlimited],
        ['home', homeLine],
      ] as const) {
        const profile = await mkdtemp(join(tmpdir(), 'manyhands-profile-'))
        const line = await slowLine(network.url, terms)
        try {
          for (const kind of ['cold', 'warm'] as const) {
            const before = line.downBytes
            const tab = await joinAsVolunteer(line.url, { profile })
            try {
              const { weights } = await tab.serving(servingMs)
              const seconds = (performance.now() - tab.openedAt) / 1000
              seen[`${where} ${kind}`].push({ seconds, megabytes: (line.downBytes - before) / 1e6, weights: weights ?? '' })
            } finally {
              await tab.browser.close()
            }
          }
        } finally {
          await line.close()
          await rm(profile, { recursive: true, force: true, maxRetries: 5 })
        }
      }
    }
  } finally {
    await network.close()
  }
  const row = (name: string, key: keyof typeof seen) => [
    name,
    spread(seen[key].map((v) => v.seconds)),
    spread(seen[key].map((v) => v.megabytes)),
    seen[key].at(-1)?.weights ?? '',
  ]
  return {
    title: 'From opening the page to serving',
    how: 'The first of three stages of the chat model, click included; a browser started anew each time, the second visit with the profile of the first. A home line is 20 Mbit/s and 20 ms for all that the browser fetches.',
    head: ['', 'seconds', 'MB over the line', "weights, in the page's words"],
    rows: [
      row('first visit, this machine', 'here cold'),
      row('second visit, this machine', 'here warm'),
      row('first visit, home line', 'home cold'),
      row('second visit, home line', 'home warm'),
    ],
    promises: [
      {
        what: 'no byte of weights on a second visit',
        measured: seen['home warm'].at(-1)?.weights ?? '',
        holds: [...seen['here warm'], ...seen['home warm']].every((visit) => /\b0 B downloaded/.test(visit.weights)),
      },
    ],
  }
}
