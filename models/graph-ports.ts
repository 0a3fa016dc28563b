/**
 * What the inputs and outputs of a graph are for. The analysis knows no architectures: the caller (importer or manifest)
 * says what each port's role is.
 */
import type { InputSpec, OutputSpec } from '../protocol/manifest.ts'

export interface Ports {
  readonly inputs: readonly Pick<InputSpec, 'name' | 'role'>[]
  readonly outputs: readonly Pick<OutputSpec, 'name' | 'role'>[]
}

/** Inputs that every stage makes for itself, from position and rows. */
export const isSelfMade = (role: InputSpec['role']): boolean => role === 'mask' || role === 'positions'

/** Inputs that only the requester has: where a later stage reads one, it has to cross the cuts before it. */
export const isFed = (role: InputSpec['role']): boolean => role === 'feed' || role === 'tokens'
