/** What a volunteer's options allow: the offer that it makes to a server, and the terms on which an assigned stage loads. */
import type { ClientMessage } from '../../protocol/client-messages.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import { isProjectId, isRevision, type ProjectId, type Revision } from '../../protocol/ids.ts'
import type { Identity } from '../../protocol/keys.ts'
import type { ControlSocket } from '../network/control-socket.ts'
import type { ServerInfo } from '../network/discovery.ts'
import { findModel } from '../network/find-model.ts'
import type { DonateOptions } from '../types.ts'
import type { LoadTerms } from './held-stage.ts'

type Offer = Extract<ClientMessage, { t: 'offer' }>

const defaultMemory = 1024 ** 3
const defaultBackends = ['webgpu', 'wasm'] as const

/** The revisions that may be served, names looked up; none: any. @throws ManyhandsError unknown-model */
export async function wantedModels(wanted: readonly string[] = [], socket: ControlSocket | undefined): Promise<Revision[]> {
  if (wanted.every(isRevision)) return [...wanted]
  if (!socket) return []
  const { reply } = await socket.request((id) => ({ t: 'models', id }), 'models', {})
  return wanted.map((model) => findModel(reply.models, model))
}

/** The project that it gives for, if any. @throws ManyhandsError bad-input */
export function projectOf({ project }: DonateOptions): ProjectId | undefined {
  if (project === undefined || isProjectId(project)) return project
  throw new ManyhandsError('bad-input', 'That is no project’s id: one begins with p_ and has 18 characters.')
}

/** @param holding what is served already, for a server that does not know it */
export function offerOf(options: DonateOptions, models: Revision[], power: number, holding: Offer['holding']): Offer {
  const { maxMemory = defaultMemory, backends = defaultBackends } = options
  const project = projectOf(options)
  return {
    t: 'offer',
    models,
    memoryBytes: Math.floor(maxMemory),
    power,
    backends: [...backends],
    ...(project === undefined ? {} : { project }),
    ...(holding ? { holding } : {}),
  }
}

/** @param serverKeys as the server's welcome named them; before one, the key that its address published */
export function loadTerms(options: DonateOptions, info: ServerInfo, identity: Identity, serverKeys = [info.serverKey]): LoadTerms {
  const { maxMemory = defaultMemory, backends = defaultBackends } = options
  const { blobsUrl, engineUrl } = info
  return { backends, memoryBytes: maxMemory, identity, serverKeys, blobsUrl, engineUrl }
}
