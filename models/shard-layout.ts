/**
 * Which weights lie in which file: one shard for what a single block reads, and one for each group of blocks that share
 * some (a tied head and its embedding, rotary tables), so that a stage fetches what it needs and nothing twice.
 */
import { maxShardBytes } from '../protocol/limits.ts'
import { ManyhandsError } from '../protocol/errors.ts'

export interface PlacedPart {
  readonly location: string
  /** Where it begins in its shard, bytes. */
  readonly offset: number
  readonly bytes: number
}

export interface ShardPlan {
  readonly parts: readonly PlacedPart[]
  readonly bytes: number
}

export interface ShardLayout {
  readonly shards: readonly ShardPlan[]
  /** By block: indices into `shards`, ascending. */
  readonly ofBlock: readonly (readonly number[])[]
}

/** Every element type's alignment, and a cache line. */
const alignment = 64
/** A larger group becomes several shards, so that a broken download costs no more than this. */
const wholeShardBytes = 256 * 1024 * 1024

/**
 * @param reads by block: the locations of the parts it reads
 * @param sizes bytes of each part
 * @throws ManyhandsError unsupported when one part alone is larger than a shard may be
 */
export function shardLayout(reads: readonly ReadonlySet<string>[], sizes: ReadonlyMap<string, number>): ShardLayout {
  const readers = new Map<string, number[]>()
  for (const [block, locations] of reads.entries()) {
    for (const location of locations) readers.set(location, [...(readers.get(location) ?? []), block])
  }
  const groups = new Map<string, { readonly blocks: readonly number[]; readonly locations: string[] }>()
  for (const location of sizes.keys()) {
    const blocks = readers.get(location)
    if (!blocks) continue
    const group = groups.get(blocks.join()) ?? { blocks, locations: [] }
    groups.set(blocks.join(), group)
    group.locations.push(location)
  }
  // By first block, so that shards lie in the order in which a stage reads them.
  const ordered = [...groups.values()].sort(
    (a, b) => (a.blocks[0] as number) - (b.blocks[0] as number) || a.blocks.length - b.blocks.length,
  )
  const shards: ShardPlan[] = []
  const ofBlock: number[][] = reads.map(() => [])
  for (const { blocks, locations } of ordered) {
    for (const shard of packed(locations, sizes)) {
      for (const block of blocks) ofBlock[block]?.push(shards.length)
      shards.push(shard)
    }
  }
  return { shards, ofBlock }
}

function packed(locations: readonly string[], sizes: ReadonlyMap<string, number>): ShardPlan[] {
  const shards: { parts: PlacedPart[]; bytes: number }[] = []
  for (const location of locations) {
    const bytes = sizes.get(location) as number
    if (bytes > maxShardBytes)
      throw new ManyhandsError('unsupported', `The weight ${location} has ${bytes} bytes; a shard may have ${maxShardBytes}.`)
    let last = shards.at(-1)
    if (!last || last.bytes + bytes > wholeShardBytes) shards.push((last = { parts: [], bytes: 0 }))
    const offset = Math.ceil(last.bytes / alignment) * alignment
    last.parts.push({ location, offset, bytes })
    last.bytes = offset + bytes
  }
  return shards
}
