/** What `manyhands project …` (in a clone `npm run project -- …`) can be told. */
import { isProjectId, type ProjectId } from '../../protocol/ids.ts'
import { audiences, maxDays, type Audience } from '../../protocol/projects.ts'
import { Misuse, readArguments, readNumber } from '../arguments.ts'
import type { NewProject } from './project-server.ts'

export const help = `Usage: manyhands project COMMAND [options]
       npm run project -- COMMAND [options]     in a clone

A project is a site or a cause whose volunteers serve its requests first. Its key goes into its pages; with the owner key it is
managed.

  create --name NAME --origin ORIGIN … [--audience first|only]
                      makes one, and says its id, its key and its owner key: this once
  list                all projects, with the operator's token
  show ID             name, origins, keys, and what was counted ever
  days ID             what was counted on each day, the latest first
  rename ID NAME
  origins ID ORIGIN … the origins whose pages may use the key: https://site.example; 'server' for programs
  audience ID first|only
                      whom its volunteers serve: its requests first and everybody's after, or its own alone
  rotate ID           a new key; the old one is good for another day
  rotate-owner ID     a new owner key; the old one is good no more
  revoke ID           ends it for good: its keys, and what its volunteers do

  --server URL        of the network (http://localhost:8080); also from MANYHANDS_SERVER
  --owner KEY         the owner key, mo_…; also from MANYHANDS_OWNER_KEY
  --data DIR          the server's folder, for the operator's token (.manyhands)
  --now               with rotate: the old key is good no more
  --days N            with days: so many, 1 to ${maxDays} (30)
  --json              what the server answered, as JSON

Without an owner key the operator's token is used: on the server's own machine it does for everything.
`

export type Command =
  | { readonly t: 'create'; readonly name: string; readonly origins: readonly string[]; readonly audience: Audience }
  | { readonly t: 'list' }
  | { readonly t: 'show' | 'revoke' | 'rotate-owner'; readonly id: ProjectId }
  | { readonly t: 'days'; readonly id: ProjectId; readonly days: number }
  | { readonly t: 'change'; readonly id: ProjectId; readonly change: Partial<NewProject> }
  | { readonly t: 'rotate'; readonly id: ProjectId; readonly now: boolean }

export interface ProjectOptions {
  readonly command: Command
  readonly server: string
  readonly ownerKey: string | undefined
  readonly data: string
  readonly json: boolean
}

/** Undefined when help was asked for. @throws Misuse */
export function parseProjectOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ProjectOptions | undefined {
  const { values, positionals } = parsed(args)
  if (values.help) return undefined
  return {
    command: commandOf(positionals, values),
    server: values.server ?? (env['MANYHANDS_SERVER'] || 'http://localhost:8080'),
    ownerKey: values.owner ?? (env['MANYHANDS_OWNER_KEY'] || undefined),
    data: values.data,
    json: values.json,
  }
}

const parsed = (args: readonly string[]) =>
  readArguments({
    args: [...args],
    allowPositionals: true,
    options: {
      name: { type: 'string' },
      origin: { type: 'string', multiple: true },
      audience: { type: 'string' },
      server: { type: 'string' },
      owner: { type: 'string' },
      data: { type: 'string', default: '.manyhands' },
      days: { type: 'string', default: '30' },
      now: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })

function commandOf([command, id, ...rest]: readonly string[], values: ReturnType<typeof parsed>['values']): Command {
  switch (command) {
    case 'create':
      if (!values.name || !values.origin) throw new Misuse('create takes --name NAME and --origin ORIGIN.')
      return { t: 'create', name: values.name, origins: values.origin, audience: audienceOf(values.audience ?? 'first') }
    case 'list':
      return { t: 'list' }
    case 'show':
    case 'revoke':
    case 'rotate-owner':
      return { t: command, id: idOf(command, id) }
    case 'days':
      return { t: 'days', id: idOf(command, id), days: readNumber('days', values.days, { least: 1, most: maxDays, whole: true }) }
    case 'rename':
      return { t: 'change', id: idOf(command, id), change: { name: rest.join(' ') } }
    case 'origins':
      return { t: 'change', id: idOf(command, id), change: { origins: rest } }
    case 'audience':
      return { t: 'change', id: idOf(command, id), change: { audience: audienceOf(rest[0] ?? '') } }
    case 'rotate':
      return { t: 'rotate', id: idOf(command, id), now: values.now }
    default:
      throw new Misuse(command === undefined ? 'Say what is to be done.' : `There is no command '${command}'.`)
  }
}

function idOf(command: string, id: string | undefined): ProjectId {
  if (!isProjectId(id)) throw new Misuse(`${command} takes a project’s id, which looks like p_abcdefghij234567.`)
  return id
}

function audienceOf(text: string): Audience {
  const audience = audiences.find((a) => a === text)
  if (!audience) throw new Misuse(`An audience is one of ${audiences.join(', ')}; not '${text}'.`)
  return audience
}
