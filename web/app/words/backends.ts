/** What computes, in words: always the backend in use, never the one wished for. */
import { m } from '../../paraglide/messages.js'
import type { Backend } from '../../../sdk/types.ts'
import { said, type Said } from './said.ts'

export const backendWords: Readonly<Said<Backend>> = said({ webgpu: m.words_webgpu, wasm: m.words_wasm }, {})
