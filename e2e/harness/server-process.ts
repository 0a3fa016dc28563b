/** The signaling server as an operator runs it, in a process of its own. */
import { ProcessGroup } from './process-group.ts'

export interface ServerOptions {
  /** Its library of models, keys and database. */
  readonly data: string
  /** 0 or absent: a free one. */
  readonly port?: number
  /** Stages that every model is cut into; by size when absent. */
  readonly stages?: number
  /** PostgreSQL's address, for several servers of one network. */
  readonly database?: string
  /** A file of the peers that the operator trusts. */
  readonly anchors?: string
  readonly signal?: AbortSignal
}

export interface ServerProcess {
  /** `http://localhost:PORT`, without a slash at its end. */
  readonly url: string
  readonly group: ProcessGroup
  close(): Promise<void>
}

/** A cold start reads and checks every manifest. */
const startMs = 60_000

export async function startServerProcess({ data, port = 0, stages, database, anchors, signal }: ServerOptions): Promise<ServerProcess> {
  const args = ['--import', 'tsx', 'signaling-server/main.ts', '--port', String(port), '--data', data]
  if (stages !== undefined) args.push('--stages', String(stages))
  if (database !== undefined) args.push('--database', database)
  if (anchors !== undefined) args.push('--anchors', anchors)
  const group = new ProcessGroup('The server', process.execPath, args)
  try {
    const [url] = await group.says(/http:\/\/localhost:\d+/, startMs, signal)
    return { url, group, close: () => group.end() }
  } catch (error) {
    await group.end()
    throw error
  }
}
