/**
 * PeerJS signalling messages as the broker reads them: the type and the destination are checked, the payload stays the two
 * peers' own business, within bounds.
 */
import * as v from 'valibot'
import { maxSignalBytes } from '../protocol/limits.ts'
import { parseMessage } from '../protocol/server-messages.ts'
import { peerIdSchema } from '../protocol/ticket.ts'

/** An SDP sits two objects deep; metadata may nest a little further. Deeper only serves to overflow someone's parser. */
const maxPayloadDepth = 8

export const relayedTypes = ['OFFER', 'ANSWER', 'CANDIDATE', 'LEAVE', 'EXPIRE'] as const

function isShallow(value: unknown, left: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return left > 0 && Object.values(value).every((inner) => isShallow(inner, left - 1))
}

const isPayload = (value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && isShallow(value, maxPayloadDepth)
const payload = v.custom<object>(isPayload, 'expected a shallow object')

/** Other keys, `src` above all, are dropped: the broker says itself who sent a message. */
const signalSchema = v.variant('type', [
  v.object({ type: v.literal('HEARTBEAT') }),
  v.object({ type: v.picklist(relayedTypes), dst: peerIdSchema, payload: v.exactOptional(v.nullable(payload)) }),
])
export type Signal = v.InferOutput<typeof signalSchema>

/** @throws ManyhandsError bad-message */
export const parseSignal = (text: string): Signal => parseMessage(signalSchema, text, maxSignalBytes)
