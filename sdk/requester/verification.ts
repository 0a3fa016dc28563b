/** The caller's choice of verification as the number of pipelines that must agree. */
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Verification } from '../types.ts'

/** @throws ManyhandsError bad-input */
export function pipelinesFor(verify: Verification = 'audit'): number {
  if (verify === 'audit') return 1
  if (verify.quorum === 2 || verify.quorum === 3) return verify.quorum
  throw new ManyhandsError('bad-input', "verify takes 'audit', {quorum: 2} or {quorum: 3}.")
}
