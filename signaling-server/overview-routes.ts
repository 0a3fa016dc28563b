/** What anyone may ask of the network as it is, and of what a peer gave. docs/protocol.md [OV]. */
import type { Hono } from 'hono'
import { ManyhandsError } from '../protocol/errors.ts'
import { isPeerId, type PeerId } from '../protocol/ids.ts'
import { maxWorkDays, usualWorkDays, type NetworkOverview, type PeerWork, type WorkDay } from '../protocol/overview.ts'
import { routeHeaders } from './route-classes.ts'

export interface OverviewDeps {
  network(): NetworkOverview
  /** The days on which a peer gave anything, the latest first: of so many days, today the last. */
  work(peer: PeerId, days: number): Promise<readonly WorkDay[]>
}

export function overviewRoutes(app: Hono, { network, work }: OverviewDeps): void {
  app.get('/v1/network', () => json(network()))
  app.get('/v1/peers/:peer/work', async (c) => {
    const peer = c.req.param('peer')
    if (!isPeerId(peer)) throw new ManyhandsError('bad-input', 'A peer is named by 64 hexadecimal digits.')
    const days = Number(c.req.query('days') ?? usualWorkDays)
    if (!Number.isInteger(days) || days < 1 || days > maxWorkDays)
      throw new ManyhandsError('bad-input', `Days are a number from 1 to ${maxWorkDays}.`)
    return json({ peer, days: [...(await work(peer, days))] } satisfies PeerWork)
  })
}

const json = (value: unknown) => Response.json(value, { headers: routeHeaders.api })
