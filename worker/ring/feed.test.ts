import { beforeEach, describe, expect, it } from 'vitest'
import { LinkHistory } from '../../link/history.ts'
import type { PeerLink } from '../../link/peer-link.ts'
import type { Step } from '../../protocol/frames.ts'
import type { PeerId, SessionId } from '../../protocol/ids.ts'
import type { LinkMessage } from '../../protocol/link-messages.ts'
import type { ShadowTicket } from '../../protocol/shadow.ts'
import { Feed } from './feed.ts'
import { feedWindowBytes } from './shadow-limits.ts'

const shadow = 'ab'.repeat(16) as SessionId
let sent: Step[]
let said: LinkMessage[]
let ended: boolean
let history: LinkHistory

beforeEach(() => {
  sent = []
  said = []
  ended = false
  history = new LinkHistory()
})

const link = {
  remote: 'cd'.repeat(32) as PeerId,
  sendStep: (step: Step) => void sent.push(step),
  sendMessage: (message: LinkMessage) => void said.push(message),
} as unknown as PeerLink

function start(change: Partial<ShadowTicket>): Feed {
  const feed = new Feed({ shadow, link: 1, role: 'audit', rows: 8, ...change } as ShadowTicket, link, history, () => (ended = true))
  feed.start()
  return feed
}

const add = (rows: number, bytes = 8) =>
  history.add({ position: history.end, rows, emitFrom: history.end, computeMicros: 0, payload: new Uint8Array(bytes) })
const positions = () => sent.map(({ position, rows }) => [position, rows])

describe('[SH2] a feed', () => {
  it('of an audit sends the rows that were asked for, in the runs they had, numbered anew, and says so', () => {
    for (const rows of [3, 3, 2, 2]) add(rows)
    start({ rows: 8 })
    expect(positions()).toEqual([
      [0, 3],
      [3, 3],
      [6, 2],
    ])
    expect(sent.map(({ session, generation, seq }) => [session, generation, seq])).toEqual([0, 1, 2].map((seq) => [shadow, 0, seq]))
    expect(said).toEqual([{ t: 'fed', session: shadow, rows: 8 }])
    expect(ended).toBe(true)
  })

  it('sends no further ahead than its window', () => {
    for (let i = 0; i < 6; i++) add(1, feedWindowBytes / 2)
    const feed = start({ rows: 6 })
    expect(positions()).toEqual([
      [0, 1],
      [1, 1],
    ])
    feed.acknowledged(1)
    expect(sent.length).toBe(3)
    feed.acknowledged(3)
    expect(sent.length).toBe(5)
    expect(said).toEqual([])
  })

  it('sends a step that is larger than the window by itself', () => {
    add(1, feedWindowBytes * 3)
    add(1)
    const feed = start({ rows: 2 })
    expect(sent.length).toBe(1)
    feed.acknowledged(1)
    expect(sent.length).toBe(2)
    expect(said).toEqual([{ t: 'fed', session: shadow, rows: 2 }])
  })

  it('of a standby goes on as the session does, a chunk behind', () => {
    add(4)
    const feed = start({ role: 'standby', rows: 0 })
    expect(sent).toEqual([])
    history.sign(4)
    add(4)
    expect(positions()).toEqual([[0, 4]])
    history.sign(8)
    expect(positions()).toEqual([
      [0, 4],
      [4, 4],
    ])
    feed.over()
    expect(said).toEqual([{ t: 'fed', session: shadow, rows: 8 }])
    expect(ended).toBe(true)
  })

  it('of a standby goes back when a reroute dropped rows that it had sent', () => {
    add(4)
    add(4)
    history.sign(8)
    start({ role: 'standby', rows: 0 })
    history.truncate(4)
    add(2)
    history.sign(6)
    expect(positions()).toEqual([
      [0, 4],
      [4, 4],
      [4, 2],
    ])
    expect(sent.map(({ seq }) => seq)).toEqual([0, 1, 2])
  })

  it('says how many rows there were when the session ended before the last', () => {
    add(3)
    start({ rows: 8 }).over()
    expect(said).toEqual([{ t: 'fed', session: shadow, rows: 3 }])
  })

  it('sends nothing after it was stopped', () => {
    const feed = start({ rows: 8 })
    feed.stop()
    add(3)
    expect(sent).toEqual([])
    expect(ended).toBe(true)
  })
})
