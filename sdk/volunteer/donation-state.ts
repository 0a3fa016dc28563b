/** A donation's state as a value: how it begins, and what becomes of it with a change. Pure. */
import type { LoadProgress } from '../../worker/engine/engine.ts'
import type { DonationPhase, DonationState } from '../types.ts'

export const loadingReasons: Readonly<Record<LoadProgress['phase'], string>> = {
  fetching: 'Fetching its part of the weights.',
  preparing: 'Preparing its part of the model.',
  checking: 'Checking its answers against known ones.',
}

export const firstState = (power: number): DonationState => ({
  phase: 'connecting',
  reason: 'Saying hello to the server.',
  reachable: false,
  peer: '',
  fetchedBytes: 0,
  storedBytes: 0,
  sessions: 0,
  answers: 0,
  rows: 0,
  steps: 0,
  rowsPerSecond: 0,
  busyMs: 0,
  busyShare: 0,
  audits: 0,
  auditedRows: 0,
  sentBytes: 0,
  receivedBytes: 0,
  power,
})

/** A pause shows as a pause, also while something loads behind it; progress belongs to loading alone. */
export function nextState(state: DonationState, change: Partial<DonationState>, paused: boolean): DonationState {
  const { progress, ...rest } = { ...state, ...change }
  const phase = paused && isLoading(rest.phase) ? 'paused' : rest.phase
  return { ...rest, phase, ...(isLoading(phase) && progress ? { progress } : {}) }
}

const isLoading = (phase: DonationPhase): boolean => phase in loadingReasons
