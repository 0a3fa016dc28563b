/**
 * A file of a repository on the Hugging Face hub (or the mirror that HF_ENDPOINT names), over HTTPS; goes on where an earlier
 * download stopped. A hub that does not answer is given up within seconds.
 */
import { open, stat } from 'node:fs/promises'
import { ManyhandsError } from '../protocol/errors.ts'
import type { FileSource } from './catalogue.ts'
import type { SourceJob } from './sources.ts'

/** From the request to the first byte; an offline machine must get on to the next source. */
const connectMs = 5_000
/** Longest pause within a download. */
const stallMs = 20_000

/** @throws ManyhandsError unavailable or aborted */
export async function fromHub(source: FileSource & { kind: 'hub' }, job: SourceJob): Promise<void> {
  const endpoint = (process.env['HF_ENDPOINT'] ?? 'https://huggingface.co').replace(/\/+$/, '')
  const url = `${endpoint}/${source.repo}/resolve/${source.revision}/${source.path}`
  const held = (await stat(job.target).catch(() => undefined))?.size ?? 0
  if (held === job.file.bytes) return
  const from = held < job.file.bytes ? held : 0

  const stop = new AbortController()
  const signal = job.signal ? AbortSignal.any([job.signal, stop.signal]) : stop.signal
  let timer: NodeJS.Timeout | undefined
  const expectWithin = (ms: number, what: string) => {
    clearTimeout(timer)
    timer = setTimeout(() => stop.abort(new ManyhandsError('unavailable', what)), ms)
  }
  try {
    expectWithin(connectMs, `no answer within ${connectMs / 1000} s`)
    const response = await fetch(url, { signal, headers: from > 0 ? { range: `bytes=${from}-` } : {} })
    if (!response.ok || !response.body) throw new ManyhandsError('unavailable', `it answered ${response.status} ${response.statusText}`)
    const start = response.status === 206 ? from : 0
    const file = await open(job.target, start > 0 ? 'a' : 'w')
    try {
      let done = start
      for await (const chunk of response.body) {
        expectWithin(stallMs, `the download stood still for ${stallMs / 1000} s`)
        done += chunk.length
        if (done > job.file.bytes) throw new ManyhandsError('hash-mismatch', 'it sent more bytes than the catalogue names')
        await file.write(chunk)
        job.report('downloading', done, job.file.bytes)
      }
      if (done < job.file.bytes) throw new ManyhandsError('unavailable', `it stopped after ${done} of ${job.file.bytes} bytes`)
    } finally {
      await file.close()
    }
  } catch (thrown) {
    if (job.signal?.aborted) throw new ManyhandsError('aborted', 'Stopped.', { cause: thrown })
    if (stop.signal.aborted) throw stop.signal.reason
    throw thrown instanceof TypeError ? new ManyhandsError('unavailable', networkReason(thrown), { cause: thrown }) : thrown
  } finally {
    clearTimeout(timer)
  }
}

/** Node's fetch says only `fetch failed`; its cause says why. */
function networkReason(error: TypeError): string {
  const cause = error.cause as { code?: string; message?: string } | undefined
  return cause?.code === 'ENOTFOUND' || cause?.code === 'EAI_AGAIN'
    ? 'its name is not known here (offline?)'
    : (cause?.message ?? error.message)
}
