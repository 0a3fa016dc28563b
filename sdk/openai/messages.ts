/** A chat's messages: text, as one string or in parts, by those who take part in a conversation. */
import type { Message } from '../types.ts'
import { refused } from './api-error.ts'
import { Fields, isEmpty } from './fields.ts'

/** `developer` is what OpenAI calls `system` now. */
const roles = { system: 'system', developer: 'system', user: 'user', assistant: 'assistant' } as const

export function readMessages(fields: Fields): readonly Message[] {
  const messages = fields.needed('messages', fields.any('messages'))
  if (!Array.isArray(messages) || messages.length === 0)
    throw refused("'messages' takes a list of at least one message.", 'messages', 'invalid_value')
  return messages.map((message, i) => readMessage(new Fields(message, `messages[${i}]`)))
}

function readMessage(fields: Fields): Message {
  const role = fields.needed('role', fields.text('role'))
  if (role === 'tool' || role === 'function')
    throw refused(`'${fields.at('role')}' can't be '${role}': the models here call no tools.`, fields.at('role'), 'unsupported_value')
  if (!Object.hasOwn(roles, role))
    throw refused(`'${fields.at('role')}' takes ${Object.keys(roles).join(', ')}.`, fields.at('role'), 'invalid_value')
  const content = readContent(fields)
  fields.cannot('name', "the models' templates know no names. Say in the text who speaks.")
  fields.cannot('tool_calls', 'the models here call no tools.', isEmpty)
  fields.cannot('function_call', 'the models here call no tools.')
  fields.cannot('audio', 'messages are text.')
  fields.cannot('refusal', 'say in the text what was refused.')
  fields.harmless('annotations')
  fields.end()
  return { role: roles[role as keyof typeof roles], content }
}

function readContent(fields: Fields): string {
  const content = fields.needed('content', fields.any('content'))
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw refused(`'${fields.at('content')}' takes a text or a list of text parts.`, fields.at('content'))
  return content.map((part, i) => readPart(new Fields(part, fields.at(`content[${i}]`)))).join('')
}

function readPart(fields: Fields): string {
  const type = fields.needed('type', fields.text('type'))
  if (type !== 'text')
    throw refused(`'${fields.at('type')}' can't be '${type.slice(0, 40)}': messages are text.`, fields.at('type'), 'unsupported_value')
  const text = fields.needed('text', fields.text('text'))
  fields.harmless('cache_control', 'prompt_cache_breakpoint')
  fields.end()
  return text
}
