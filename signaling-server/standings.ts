/**
 * Everybody's trust as this server knows it: loaded when a volunteer offers, read by whoever decides, and changed only
 * together with what changed it, one commit after another. What trust is, trust/ says; docs/protocol.md [TR].
 */
import * as v from 'valibot'
import type { PeerId, Revision } from '../protocol/ids.ts'
import type { StandingInfo } from '../protocol/server-messages.ts'
import { afterBar, barsAt, prefixStandingSchema, type PrefixStanding } from './trust/prefixes.ts'
import { backendRecordSchema, isQuarantined, unknownBackend, type BackendRecord } from './trust/quarantine.ts'
import {
  afterAgreement,
  afterLoss,
  compareTrust,
  explain,
  forgiven,
  mayProduce,
  rankOf,
  standingAt,
  standingSchema,
  stranger,
  type Known,
  type Rank,
  type Standing,
} from './trust/standing.ts'
import type { Store, Write } from './store.ts'

/** A peer's trust as it is stored: with the rows that others computed alike, on either side. */
const keptSchema = v.object({ ...standingSchema.entries, rows: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) })
type Kept = Standing & { readonly rows: number }

const unknownPeer: Kept = { ...stranger, rows: 0 }

export interface StandingsPorts {
  readonly store: Store
  readonly anchors: ReadonlySet<PeerId>
  epochOf(revision: Revision): number
  /** Wall time, ms since 1970: bars end by it. */
  now(): number
  /** A peer's standing is another than before. */
  changed(peer: PeerId, standing: StandingInfo, barred: boolean): void
  failed(thrown: unknown): void
}

/** Peers whose trust is remembered between two offers. */
const maxPeers = 50_000
const maxPrefixes = 20_000
const maxBackends = 2_000

const states: Record<Rank, StandingInfo['state']> = { anchor: 'anchor', proven: 'proven', new: 'new', barred: 'barred' }

/** The standings as one commit is about to leave them. */
export interface Draft {
  known(peer: PeerId): Known
  /** @param weight what an agreement counts for now */
  agreed(peer: PeerId, rows: number, weight: number): void
  /** @returns true when it is barred by this one */
  lost(peer: PeerId): boolean
  /** Its strikes were its backend's. */
  forgive(peer: PeerId): void
  backend(key: string): BackendRecord
  setBackend(key: string, record: BackendRecord): void
}

export class Standings {
  readonly #ports: StandingsPorts
  readonly #peers = new Map<PeerId, Kept>()
  readonly #prefixOf = new Map<PeerId, string>()
  readonly #prefixes = new Map<string, PrefixStanding>()
  readonly #backends = new Map<string, BackendRecord>()
  /** Sides of mismatches that are being decided, of how many each. */
  readonly #disputed = new Map<PeerId, number>()
  /** Commits go one after another: each sees what the one before has left. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(ports: StandingsPorts) {
    this.#ports = ports
  }

  /** What the store has of a volunteer and of where it comes from; until then it counts as a stranger. */
  load(peer: PeerId, prefix: string | undefined): Promise<void> {
    if (prefix === undefined) this.#prefixOf.delete(peer)
    else remember(this.#prefixOf, peer, prefix, maxPeers)
    return this.#inTurn(async () => {
      const names = [peer, ...(prefix === undefined ? [] : [prefixName(prefix)])]
      const found = await this.#ports.store.standings(names as PeerId[])
      remember(this.#peers, peer, read(keptSchema, found.get(peer)) ?? unknownPeer, maxPeers)
      const bars = prefix === undefined ? undefined : read(prefixStandingSchema, found.get(prefixName(prefix) as PeerId))
      if (prefix !== undefined && bars) remember(this.#prefixes, prefix, bars, maxPrefixes)
      this.#tell(peer)
    }).catch((thrown: unknown) => this.#ports.failed(thrown))
  }

  /** What the store has of a backend. */
  loadBackend(key: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#backends.has(key)) return
      const name = backendName(key) as PeerId
      remember(
        this.#backends,
        key,
        read(backendRecordSchema, (await this.#ports.store.standings([name])).get(name)) ?? unknownBackend,
        maxBackends,
      )
    }).catch((thrown: unknown) => this.#ports.failed(thrown))
  }

  known(peer: PeerId): Known {
    return this.#knownAs(peer, this.#peers.get(peer) ?? unknownPeer)
  }

  rank(peer: PeerId): Rank {
    return rankOf(this.known(peer), this.#ports.now())
  }

  mayProduce(peer: PeerId): boolean {
    return mayProduce(this.known(peer), this.#ports.now())
  }

  lessTrusted(a: PeerId, b: PeerId): PeerId {
    return compareTrust(this.known(a), this.known(b)) <= 0 ? a : b
  }

  /** A mismatch that it is a side of is to be decided, or has been. */
  dispute(peer: PeerId, begins: boolean): void {
    const left = (this.#disputed.get(peer) ?? 0) + (begins ? 1 : -1)
    if (left > 0) this.#disputed.set(peer, left)
    else this.#disputed.delete(peer)
  }

  backend(key: string): BackendRecord {
    return this.#backends.get(key) ?? unknownBackend
  }

  /** Keys of the backends that are doubted, of those that are known here. */
  quarantined(): string[] {
    return [...this.#backends].flatMap(([key, record]) => (isQuarantined(record) ? [key] : []))
  }

  info(peer: PeerId): StandingInfo {
    const { rank, agreements, needed, strikes } = explain(this.known(peer), this.#ports.now())
    return { state: states[rank], agreements: Math.floor(agreements), needed, strikes, rows: (this.#peers.get(peer) ?? unknownPeer).rows }
  }

  /**
   * One outcome, all of it or nothing: `decide` says what is written beside the standings that it changes. Resolves to false
   * when the swarm is another server's now, or the database stayed away: then nothing has changed here either.
   */
  commit(
    revision: Revision,
    involved: readonly PeerId[],
    decide: (draft: Draft) => readonly Write[] | Promise<readonly Write[]>,
  ): Promise<boolean> {
    return this.#inTurn(async () => {
      await this.#loadMissing(involved)
      const peers = new Map<PeerId, Kept>()
      const prefixes = new Map<string, PrefixStanding>()
      const backends = new Map<string, BackendRecord>()
      const now = this.#ports.now()
      const keptOf = (peer: PeerId): Kept => {
        const kept = peers.get(peer) ?? this.#peers.get(peer) ?? unknownPeer
        return { ...standingAt(kept, now), rows: kept.rows }
      }
      const writes = await decide({
        known: (peer) => this.#knownAs(peer, keptOf(peer)),
        agreed: (peer, rows, weight) => {
          const kept = keptOf(peer)
          peers.set(peer, { ...afterAgreement(kept, weight), rows: kept.rows + rows })
        },
        lost: (peer) => {
          const kept = keptOf(peer)
          const after = afterLoss(kept, now)
          peers.set(peer, { ...after, rows: kept.rows })
          const barred = after.barredAt !== undefined && kept.barredAt === undefined
          const prefix = this.#prefixOf.get(peer)
          if (barred && prefix !== undefined) prefixes.set(prefix, afterBar(prefixes.get(prefix) ?? this.#prefixes.get(prefix), now))
          return barred
        },
        forgive: (peer) => peers.set(peer, { ...forgiven(keptOf(peer)), rows: keptOf(peer).rows }),
        backend: (key) => backends.get(key) ?? this.backend(key),
        setBackend: (key, record) => backends.set(key, record),
      })
      const standing = (name: string, value: unknown): Write => ({ t: 'standing', peer: name as PeerId, standing: value })
      const all = [
        ...writes,
        ...[...peers].map(([peer, kept]) => standing(peer, kept)),
        ...[...prefixes].map(([prefix, bars]) => standing(prefixName(prefix), bars)),
        ...[...backends].map(([key, record]) => standing(backendName(key), record)),
      ]
      if (all.length > 0 && !(await this.#write(revision, all))) return false
      for (const [peer, kept] of peers) remember(this.#peers, peer, kept, maxPeers)
      for (const [prefix, bars] of prefixes) remember(this.#prefixes, prefix, bars, maxPrefixes)
      for (const [key, record] of backends) remember(this.#backends, key, record, maxBackends)
      for (const peer of peers.keys()) this.#tell(peer)
      return true
    })
  }

  /** Resolves when all that was asked for so far is written. */
  async written(): Promise<void> {
    await this.#last
  }

  // ------------------------------------------------------------------------------------------------------------------

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #write(revision: Revision, writes: readonly Write[]): Promise<boolean> {
    try {
      return (await this.#ports.store.commit(revision, this.#ports.epochOf(revision), writes)) === 'ok'
    } catch (thrown) {
      this.#ports.failed(thrown)
      return false
    }
  }

  /** Who is not remembered any more must not be written over as a stranger. */
  async #loadMissing(involved: readonly PeerId[]): Promise<void> {
    const missing = involved.filter((peer) => !this.#peers.has(peer))
    if (missing.length === 0) return
    const found = await this.#ports.store.standings(missing)
    for (const peer of missing) remember(this.#peers, peer, read(keptSchema, found.get(peer)) ?? unknownPeer, maxPeers)
  }

  #knownAs(peer: PeerId, standing: Standing): Known {
    const prefix = this.#prefixOf.get(peer)
    const prefixBars = prefix === undefined ? 0 : barsAt(this.#prefixes.get(prefix), this.#ports.now())
    return { peer, standing, anchor: this.#ports.anchors.has(peer), prefix, prefixBars, disputed: this.#disputed.has(peer) }
  }

  #tell(peer: PeerId): void {
    this.#ports.changed(peer, this.info(peer), this.rank(peer) === 'barred')
  }
}

/** Networks and backends have standings too, under names that no peer's id can be. */
const prefixName = (prefix: string) => `prefix ${prefix}`
const backendName = (key: string) => `backend ${key}`

/** What was stored by another version than this counts as nothing stored. */
function read<T extends v.GenericSchema>(schema: T, value: unknown): v.InferOutput<T> | undefined {
  const parsed = v.safeParse(schema, value)
  return parsed.success ? parsed.output : undefined
}

/** As the latest; the oldest goes when there are too many. */
function remember<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > most) map.delete(map.keys().next().value as K)
}
