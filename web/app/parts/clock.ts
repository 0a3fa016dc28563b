/**
 * The time, once a second for whoever shows it; no timer runs while nobody does.
 */
import { createSubscriber } from 'svelte/reactivity'

const ticking = createSubscriber((update) => {
  const timer = setInterval(update, 1000)
  return () => clearInterval(timer)
})

/** Milliseconds since 1970; read in a template or effect it keeps itself fresh. */
export function now(): number {
  ticking()
  return Date.now()
}
