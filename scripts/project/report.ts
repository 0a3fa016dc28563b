/** What `manyhands project` prints for people. Pure. */
import type { Counters, OwnedProject, ProjectDays } from '../../protocol/projects.ts'
import type { Created } from './project-server.ts'

export const createdText = ({ id, key, ownerKey }: Created): string =>
  [
    `Project:    ${id}    for the widget: <many-hands project="${id}">`,
    `Key:        ${key}    for its pages: connect({ server, apiKey })`,
    `Owner key:  ${ownerKey}    to manage it; keep it to yourself`,
    'The keys are not shown again: only their hashes are kept.',
    '',
  ].join('\n')

export function projectText({ id, name, audience, revoked, origins, createdAt, keys, counters }: OwnedProject): string {
  const until = keys.map(({ until }) => (until === null ? 'the present one' : `one until ${new Date(until).toISOString().slice(0, 16)}Z`))
  return [
    `${name}  ${id}${revoked ? '  ended' : ''}`,
    `  serves:   ${audience === 'first' ? 'its own requests first, everybody’s after' : 'its own requests alone'}`,
    `  origins:  ${origins.join(', ')}`,
    `  keys:     ${until.join(', ') || 'none'}`,
    `  since:    ${new Date(createdAt).toISOString().slice(0, 10)}`,
    `  counted:  ${countersText(counters)}`,
    '',
  ].join('\n')
}

export const listText = (projects: readonly OwnedProject[]): string =>
  projects.length === 0 ? 'No projects yet.\n' : projects.map(projectText).join('\n')

export function daysText({ days }: ProjectDays): string {
  if (days.length === 0) return 'Nothing was counted in these days.\n'
  const head = ['day', 'visitors', 'consents', 'rows given', 'requests', 'by its own']
  const rows = days.map(({ day, visitors, consents, rows, requests, byAudience }) =>
    [day, visitors, consents, rows, requests, byAudience].map(String),
  )
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] as string).length)))
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[i] as number))).join('  ')
  return `${[head, ...rows].map(line).join('\n')}\n`
}

const countersText = ({ visitors, consents, rows, requests, byAudience }: Counters): string =>
  `${visitors} visitors, ${consents} said yes, ${rows} rows of work given, ${requests} requests answered (${byAudience} by its own volunteers alone)`
