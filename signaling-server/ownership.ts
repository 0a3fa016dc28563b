/**
 * The port to who owns which cell (a swarm). A process acts for the cells it owns, under an epoch that grows with every change
 * of hands. Embedded, there is one process and it owns everything; its epoch is a boot counter that the database keeps.
 */
export interface Owner {
  readonly url: string
  readonly epoch: number
}

export interface Ownership {
  /** Of these cells, those that are ours from now on, with their epochs; at most `limit` new ones. */
  claim(cells: readonly string[], limit: number): Promise<ReadonlyMap<string, number>>
  /** Of the cells held, those that are still ours. @throws ManyhandsError unavailable: they may be, but nobody knows */
  renew(held: readonly string[]): Promise<readonly string[]>
  release(cells: readonly string[]): Promise<void>
  ownerOf(cell: string): Promise<Owner | undefined>
  /** Public URLs of the processes that are up, this one among them. */
  servers(): Promise<readonly string[]>
  /** False when what is held may be another's by now: until the next good renewal nothing is decided for it. */
  mayAct(): boolean
}
