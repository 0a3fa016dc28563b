/** What `/metrics` shows, gathered from the parts that count it. */
import type { Broker } from './broker.ts'
import type { ControlSockets } from './control-sockets.ts'
import type { Coordinator } from './coordinator.ts'
import { Metrics } from './metrics.ts'
import type { RouteClass } from './route-classes.ts'

export interface ServerMetrics {
  text(): string
  answered(route: RouteClass, status: number): void
}

export function serverMetrics({
  coordinator,
  sockets,
  broker,
}: {
  coordinator: Coordinator
  sockets: ControlSockets
  broker: Broker
}): ServerMetrics {
  const metrics = new Metrics()
  const { sessions } = coordinator
  metrics.gauge('manyhands_peers', 'Peers that have said hello', () => sockets.stats().peers)
  metrics.gauge('manyhands_volunteers', 'Volunteers online', () => coordinator.volunteers)
  metrics.gauge('manyhands_sessions', 'Sessions under way', () => sessions.live)
  metrics.gauge('manyhands_sessions_queued', 'Requests that wait for a place', () => sessions.queued)
  metrics.total('manyhands_sessions_opened_total', 'Sessions routed', () => sessions.counts.opened)
  metrics.total('manyhands_sessions_settled_total', 'Sessions with a receipt', () => sessions.counts.settled)
  metrics.total('manyhands_sessions_failed_total', 'Sessions that broke off', () => sessions.counts.failed)
  metrics.total('manyhands_sessions_busy_total', 'Requests turned away because the line was full', () => sessions.counts.busy)
  metrics.total('manyhands_chunks_checked_total', 'Link-chunks whose custody holds', () => sessions.counts.chunksChecked)
  metrics.total('manyhands_chunks_failed_total', 'Custody checks that failed', () => sessions.counts.chunksFailed)
  const { audits } = coordinator.trust
  metrics.gauge('manyhands_audits', 'Stages’ work that is being computed again, or waits for it', () => audits.underWay)
  for (const [name, help] of Object.entries(auditWords) as [keyof typeof auditWords, string][])
    metrics.total(`manyhands_audits_${snake(name)}_total`, `Audits: ${help}`, () => audits.counts[name])
  for (const name of ['accepted', 'refused', 'received', 'sent', 'malformed', 'cutOff'] as const) {
    metrics.total(`manyhands_control_${snake(name)}_total`, `Control sockets: ${words[name]}`, () => sockets.stats()[name])
  }
  for (const name of ['accepted', 'refused', 'relayed', 'undeliverable', 'cutOff'] as const) {
    metrics.total(`manyhands_broker_${snake(name)}_total`, `Broker: ${words[name]}`, () => broker.stats()[name])
  }
  metrics.gauge('manyhands_broker_sockets', 'Broker sockets', () => broker.stats().sockets)
  metrics.gauge('manyhands_memory_bytes', 'Resident memory of this process', () => process.memoryUsage.rss())
  const http = metrics.counter('manyhands_http_answers_total', 'HTTP answers')
  return {
    text: () => metrics.text(),
    answered: (route, status) => http.add(1, { route, status: String(status) }),
  }
}

const auditWords = {
  drawn: 'begun',
  agreed: 'that came to the same',
  mismatches: 'that came to something else, at first sight',
  lost: 'in which the stage was found wrong',
  auditorsLost: 'in which an auditor was found wrong',
  split: 'that nobody could decide',
  void: 'that could not be done',
  strikes: 'strikes given',
  barred: 'peers barred',
  quarantined: 'backends doubted',
  wrong: 'answers found wrong',
} as const

const words = {
  accepted: 'connections taken',
  refused: 'connections turned away at the door',
  received: 'messages received',
  sent: 'messages sent',
  malformed: 'messages that could not be used',
  cutOff: 'connections cut off',
  relayed: 'messages passed on',
  undeliverable: 'messages for peers that are not here',
} as const

const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)
