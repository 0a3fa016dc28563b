/** A model of a server's list, by name or revision. */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Revision } from '../../protocol/ids.ts'
import type { ModelInfo } from '../../protocol/server-messages.ts'

/** @throws ManyhandsError unknown-model, naming those that there are */
export function findModel(models: readonly ModelInfo[], model: string): Revision {
  const known = models.find((m) => m.revision === model || m.name === model)
  if (known) return known.revision
  const names = models.map((m) => m.name).join(', ')
  throw new ManyhandsError('unknown-model', `This server has no model '${model.slice(0, 100)}'. It has: ${names || 'none'}.`)
}
