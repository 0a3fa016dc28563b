/**
 * `net.fetch`: OpenAI's API in this process, as a `fetch` to hand to any client of it. Only the end of a URL's path matters;
 * nothing but the volunteers is asked.
 */
import type { Network } from '../types.ts'
import { errorAnswer, randomId, type RequestContext } from './answers.ts'
import { ApiError, refused, toApiError } from './api-error.ts'
import { answerChat } from './chat.ts'
import { answerCompletion } from './completions.ts'
import { answerEmbeddings } from './embeddings.ts'
import { answerModel, answerModels } from './models.ts'
import { readJson } from './request-json.ts'

type Answer = (network: Network, body: unknown, context: RequestContext) => Promise<Response>

const posts: Readonly<Record<string, Answer>> = {
  'chat/completions': answerChat,
  completions: answerCompletion,
  embeddings: answerEmbeddings,
}

/** @throws the signal's reason once it is aborted, as a fetch does; everything else is an answer */
export async function openaiFetch(network: Network, input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init)
  // The caller's own: one that a Request derives from it may be collected while an answer is streamed.
  const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined)
  signal?.throwIfAborted()
  const stop = new AbortController()
  signal?.addEventListener('abort', () => stop.abort(signal.reason), { once: true })
  const id = randomId('req_')
  try {
    const context = { id, created: Math.floor(Date.now() / 1000), signal: stop.signal, cancel: () => stop.abort() }
    return await route(network, request, context)
  } catch (thrown) {
    if (signal?.aborted) throw signal.reason
    return errorAnswer(toApiError(thrown), id)
  }
}

async function route(network: Network, request: Request, context: RequestContext): Promise<Response> {
  const { pathname } = new URL(request.url)
  const [, post] = /\/(chat\/completions|completions|embeddings)\/?$/.exec(pathname) ?? []
  const answer = post === undefined ? undefined : posts[post]
  if (answer) {
    only(request, 'POST')
    return answer(network, await readJson(request), context)
  }
  const [list, , model] = /\/models(\/([^/]+))?\/?$/.exec(pathname) ?? []
  if (list !== undefined) {
    only(request, 'GET')
    return model === undefined ? answerModels(network, context) : answerModel(network, decoded(model), context)
  }
  throw new ApiError(
    `There is nothing at ${pathname.slice(0, 200)}: chat/completions, completions, embeddings and models are spoken here.`,
    {
      status: 404,
      type: 'invalid_request_error',
      code: 'unknown_url',
    },
  )
}

function only(request: Request, method: string): void {
  if (request.method === method) return
  throw new ApiError(`This takes ${method}, not ${request.method}.`, {
    status: 405,
    type: 'invalid_request_error',
    code: 'method_not_allowed',
  })
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw refused('The model’s name is not encoded as a part of a URL is.', 'model')
  }
}
