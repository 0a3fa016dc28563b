/** A pause that its caller may give up. */
import { abortable } from './abortable.ts'

/** @throws ManyhandsError aborted */
export async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  await abortable(new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))), signal).finally(() => clearTimeout(timer))
}
