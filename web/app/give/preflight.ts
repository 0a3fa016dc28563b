/**
 * What a browser says of itself for free, before the click, and what that means for giving. Nothing is probed: what costs anything
 * is tried after the click. Pure but for {@link browserFacts}.
 */
import { m } from '../../paraglide/messages.js'
import { memory } from '../words/numbers.ts'
import type { Tone } from '../words/phases.ts'

export interface BrowserFacts {
  readonly secure: boolean
  readonly webgpu: boolean
  readonly threads: number
  /** Shared memory, without which there is one thread. */
  readonly isolated: boolean
  /** Bytes, rounded down and up to 8 GiB; undefined where the browser does not tell. */
  readonly memory: number | undefined
  readonly online: boolean
  readonly saveData: boolean
  readonly slow: boolean
  readonly webrtc: boolean
  readonly files: boolean
}

export interface Finding {
  readonly id: 'secure' | 'gpu' | 'processor' | 'memory' | 'network' | 'disk'
  readonly name: string
  readonly text: string
  readonly tone: Tone
}

interface TellingNavigator {
  readonly deviceMemory?: number
  readonly connection?: { readonly saveData?: boolean; readonly effectiveType?: string }
}

const gibibyte = 2 ** 30

export function browserFacts(): BrowserFacts {
  const { deviceMemory, connection } = navigator as TellingNavigator
  return {
    secure: isSecureContext,
    webgpu: 'gpu' in navigator,
    threads: navigator.hardwareConcurrency,
    isolated: crossOriginIsolated,
    memory: deviceMemory === undefined ? undefined : deviceMemory * gibibyte,
    online: navigator.onLine,
    saveData: connection?.saveData === true,
    slow: connection?.effectiveType === '2g' || connection?.effectiveType === 'slow-2g',
    webrtc: 'RTCPeerConnection' in globalThis,
    files: 'storage' in navigator && 'getDirectory' in navigator.storage,
  }
}

/** @param chosen bytes of memory that would be used */
export function preflight(facts: BrowserFacts, chosen: number): Finding[] {
  return [
    facts.secure
      ? { id: 'secure', name: m.give_preflight_secure(), text: m.give_preflight_secure_yes(), tone: 'good' }
      : { id: 'secure', name: m.give_preflight_secure(), text: m.give_preflight_secure_no(), tone: 'bad' },
    facts.webgpu
      ? { id: 'gpu', name: m.give_preflight_gpu(), text: m.give_preflight_gpu_yes(), tone: 'good' }
      : { id: 'gpu', name: m.give_preflight_gpu(), text: m.give_preflight_gpu_no(), tone: 'wait' },
    facts.isolated
      ? { id: 'processor', name: m.give_preflight_processor(), text: m.give_preflight_threads({ n: facts.threads }), tone: 'good' }
      : { id: 'processor', name: m.give_preflight_processor(), text: m.give_preflight_one_thread(), tone: 'wait' },
    { id: 'memory', name: m.give_memory(), ...memoryWords(facts.memory, chosen) },
    { id: 'network', name: m.give_preflight_network(), ...networkWords(facts) },
    facts.files
      ? { id: 'disk', name: m.give_preflight_disk(), text: m.give_preflight_disk_yes(), tone: 'good' }
      : { id: 'disk', name: m.give_preflight_disk(), text: m.give_preflight_disk_no(), tone: 'wait' },
  ]
}

function memoryWords(told: number | undefined, chosen: number): Pick<Finding, 'text' | 'tone'> {
  if (told === undefined) return { text: m.give_preflight_memory_untold(), tone: 'rest' }
  const words = { memory: memory(told), chosen: memory(chosen) }
  // A page that takes more than half of it takes it from everything else.
  if (told < 2 * chosen) return { text: m.give_preflight_memory_little(words), tone: 'wait' }
  return { text: m.give_preflight_memory_yes(words), tone: 'good' }
}

function networkWords({ webrtc, online, saveData, slow }: BrowserFacts): Pick<Finding, 'text' | 'tone'> {
  if (!webrtc) return { text: m.give_preflight_network_never(), tone: 'bad' }
  if (!online) return { text: m.give_preflight_network_no(), tone: 'bad' }
  if (saveData) return { text: m.give_preflight_network_saving(), tone: 'wait' }
  if (slow) return { text: m.give_preflight_network_slow(), tone: 'wait' }
  return { text: m.give_preflight_network_yes(), tone: 'good' }
}
