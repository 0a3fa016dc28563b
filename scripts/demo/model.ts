/** The model that the demo runs: from the library, fetched when it is not there. */
import { stat } from 'node:fs/promises'
import { catalogueEntry } from '../../models/catalogue.ts'
import { progressLine } from '../../models/cli-text.ts'
import { openLibrary, type LibraryModel } from '../../models/library.ts'
import type { OnProgress } from '../../models/progress.ts'
import { ManyhandsError } from '../../protocol/errors.ts'
import type { Steps } from './steps.ts'

export const chatModel = 'smollm2-135m-instruct'
/** What reads a line of text, when no chat model can be had. */
export const readingModel = 'pp-ocrv4-rec'

/** @param named what the user asked for; without it the chat model, or the reading model where no source of that answers */
export async function demoModel(named: string | undefined, data: string, steps: Steps, signal: AbortSignal): Promise<LibraryModel> {
  if (named !== undefined) return await fetched(named, data, steps, signal)
  try {
    return await fetched(chatModel, data, steps, signal)
  } catch (thrown) {
    if (!(thrown instanceof ManyhandsError) || thrown.code !== 'unavailable') throw thrown
    steps.line(`  The chat model can't be had: ${thrown.message}`)
    steps.line('  Going on with a model that reads a line of text instead.')
    return await fetched(readingModel, data, steps, signal)
  }
}

const fetched = (name: string, data: string, steps: Steps, signal: AbortSignal): Promise<LibraryModel> =>
  steps.step('Model', async (progress) => {
    const onProgress: OnProgress = (event) => progress(progressLine(event))
    const model = await find(name, data, { onProgress, signal })
    const { title, graph, shards, blocks } = model.manifest
    const megabytes = Math.round((graph.bytes + shards.reduce((sum, shard) => sum + shard.bytes, 0)) / 1e6)
    return [model, `${title}, ${megabytes} MB, ${blocks.length} blocks`] as const
  })

async function find(name: string, data: string, options: { onProgress: OnProgress; signal: AbortSignal }): Promise<LibraryModel> {
  const library = openLibrary(data)
  if (catalogueEntry(name)) return await library.add(name, options)
  if ((await stat(name).catch(() => undefined))?.isFile()) return await library.addFile(name, options)
  return await library.find(name)
}
