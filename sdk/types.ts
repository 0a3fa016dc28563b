/**
 * The SDK's public surface: what a requester asks with (`connect` in index.ts) and what a volunteer gives with (`donate`
 * in volunteer.ts). Types only.
 */
import type { Tensor } from 'onnxruntime-common'
import type { ManyhandsError } from '../protocol/errors.ts'
import type { Identity } from '../protocol/keys.ts'
import type { Finish } from '../protocol/link-messages.ts'
import type { ReceiptFileJson } from '../protocol/receipt-file.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ModelInfo, StandingInfo } from '../protocol/server-messages.ts'
import type { Backend, Ticket } from '../protocol/ticket.ts'
import type { Feeds, MapItem, MapOptions, Mapping, OnMapError } from './map-types.ts'
import type { PauseCause, PauseChoices } from './volunteer/pause-policy.ts'

export type { PauseCause, PauseChoices }
export type * from './map-types.ts'
export type { ModelInfo, StandingInfo, Receipt, ReceiptFileJson, Finish, Backend, Identity, ManyhandsError }

// ---- Asking --------------------------------------------------------------------------------------------------------

export interface ConnectOptions {
  /** Base URL of a signaling server, or several to try in turn: `https://hands.example`. */
  readonly server: string | readonly string[]
  /** A project's key (`mh_…`): its volunteers serve its requests first. Good on the project's own origins alone. */
  readonly apiKey?: string
  /** Who asks; a fresh identity is made when none is given. */
  readonly identity?: Identity
  /** Ends the connection and everything under way. */
  readonly signal?: AbortSignal
}

export type NetworkState = 'connecting' | 'ready' | 'degraded' | 'closed'

/** Events: `state` when {@link Network.state} changes. */
export interface Network extends EventTarget, AsyncDisposable {
  readonly state: NetworkState
  /** Models that this server knows, with their availability now. */
  models(): Promise<readonly ModelInfo[]>
  /**
   * Continues a chat or a text. Iterate for the text as it comes, await for the whole.
   * @param model name (`smollm2-135m-instruct`) or revision
   */
  generate(model: string, input: string | readonly Message[], options?: GenerateOptions): Generation
  /** One pass of any ONNX model: the graph's input names to tensors, f32 or integers as the model declares. */
  run(model: string, feeds: Feeds, options?: RunOptions): Promise<RunResult>
  /**
   * `run` for each of many inputs, spread over as many volunteers as have room; results in the inputs' order.
   * @param inputs feeds, or anything of which `options.feeds` makes some
   */
  map<I = Feeds, E extends OnMapError = 'throw'>(
    model: string,
    inputs: Iterable<I> | AsyncIterable<I>,
    options?: MapOptions<I, E>,
  ): Mapping<MapItem<I, E>>
  /**
   * Vectors of texts, one each and in their order, by a sentence encoder (`all-minilm-l6-v2`). Texts of like length are computed together, several
   * such batches at once over as many volunteers as there are.
   * @throws ManyhandsError bad-input, unknown-model, no-volunteers, busy, aborted …; nothing is given out then
   */
  embed(model: string, values: readonly string[], options?: EmbedOptions): Promise<Embedded>
  /**
   * OpenAI's API over these same models, as a `fetch` to hand to any client of it (`new OpenAI({fetch: net.fetch, …})`): chat.completions,
   * completions, embeddings and models. Whatever the base URL and key, nothing but the volunteers is asked. What can't be kept is refused.
   */
  readonly fetch: typeof globalThis.fetch
  /** A file that the model brings along (an OCR model's `characters`), checked against its hash. */
  file(model: string, name: string): Promise<Uint8Array>
  close(): Promise<void>
}

export interface Message {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/**
 * How an answer is made sure of. `audit` (default): one pipeline computes it, at full speed; afterwards other volunteers compute
 * drawn parts of it again, and what they find wrong is corrected. `quorum`: so many pipelines that share no volunteer must come to the
 * same answer before any of it is given out; where they don't, further ones decide, 2n - 1 in all at most.
 */
export type Verification = 'audit' | { readonly quorum: 2 | 3 }

export interface CallOptions {
  /** Aborting stops the work at the volunteers too. */
  readonly signal?: AbortSignal
  readonly verify?: Verification
  onProgress?(progress: Progress): void
}

export interface RunOptions extends CallOptions {
  /** Results that were handed out were found wrong: these take their place. */
  onCorrection?(correction: RunCorrection): void
}

export interface GenerateOptions extends CallOptions {
  /** Tokens to answer with at most; default 256, bounded by the model's context. */
  readonly maxTokens?: number
  /** 0 (default) is greedy. */
  readonly temperature?: number
  readonly topP?: number
  /** Same seed, same text. Drawn at random when absent and temperature > 0. */
  readonly seed?: number
  /** Texts that end the answer; they are cut off it. At most 8. */
  readonly stop?: string | readonly string[]
  /**
   * Tells of each token how likely the model found it, and of so many of the likeliest in its place (0 to 20): see
   * {@link Generated.tokens}. It is the last volunteer's word: nobody signs for it, and no audit repeats it.
   */
  readonly logprobs?: number
  /**
   * Text that was given out was found wrong, in the middle of the answer or up to five minutes after it: this takes its place. Called
   * before the promise resolves where it had not yet; not called where the answer asked again is the same.
   */
  onCorrection?(correction: Correction): void
}

export interface EmbedOptions extends Omit<CallOptions, 'onProgress'> {
  /** What becomes of a text with more tokens than the model takes: its end is left out (`cut`, the default), or all is refused with `context-overflow`. */
  readonly tooLong?: 'cut' | 'refuse'
  onProgress?(progress: EmbedProgress): void
  /** Vectors that were handed out were found wrong: these take their places. */
  onCorrection?(correction: EmbedCorrection): void
}

/** Texts. */
export interface EmbedProgress {
  readonly done: number
  readonly total: number
}

export interface EmbedCorrection {
  /** By the text's place among those asked. */
  readonly embeddings: ReadonlyMap<number, Float32Array>
  /** What was found, in a sentence. */
  readonly reason: string
}

export interface Correction {
  /** The whole answer, as it is now. */
  readonly answer: Generated
  /** So many characters of the text given out before still stand. */
  readonly from: number
  /** What was found, in a sentence. */
  readonly reason: string
}

export interface RunCorrection {
  readonly outputs: Readonly<Record<string, Tensor>>
  readonly reason: string
}

export type Progress =
  | { readonly phase: 'queued'; readonly ahead: number }
  | { readonly phase: 'connecting' }
  | { readonly phase: 'prompt'; readonly promptTokens: number }
  | { readonly phase: 'answer'; readonly tokens: number }
  /** A part of the pipeline is being replaced; the answer goes on by itself. */
  | { readonly phase: 'waiting'; readonly reason: string }
  /** What came was found wrong and is asked again. */
  | { readonly phase: 'correcting'; readonly reason: string }

/** What can be proved of an answer. All reject with `timeout` when nothing came, and with what the answer broke off with. */
export interface Proofs {
  /** The server's signed receipt, some moments after the answer; provisional as a rule. */
  readonly receipt: Promise<Receipt>
  /** The same of every pipeline that agreed; one without a quorum. */
  readonly receipts: Promise<readonly Receipt[]>
  /**
   * The receipt that says how it went: `settled`, once the audits drawn are done, or `corrected`, of the answer that took this one's
   * place. Some minutes after the answer at most.
   */
  readonly settled: Promise<Receipt>
  /** All of it as one file, proved or not by anyone with `manyhands receipt verify FILE`: receipts, evidence, prompt and answer. */
  record(): Promise<ReceiptFileJson>
}

/** A token that the answer is made of, or that might have stood in its place. */
export interface LikelyToken {
  readonly id: number
  /** What it stands for, which may be only part of a character. */
  readonly bytes: Uint8Array
  /** Natural logarithm of its probability in the model's own distribution: temperature 1, no nucleus. */
  readonly logprob: number
}

export interface AnswerToken extends LikelyToken {
  /** The likeliest in its place, likeliest first: as many as `logprobs` asked for. It may be among them. */
  readonly top: readonly LikelyToken[]
}

export interface AnswerPiece {
  readonly text: string
  /** Those that the text is made of, with `logprobs`; a token whose text is held back comes with the piece that has it. */
  readonly tokens: readonly AnswerToken[]
}

/**
 * Iterating yields text pieces that only ever append; awaiting yields the whole. Both may be used, once each. The promise resolves at
 * the answer's end with what is then known: an answer found wrong before that is asked again first, and what is found later
 * comes by {@link GenerateOptions.onCorrection} and {@link Proofs.settled}. Where it breaks off after its first token, it rejects with a
 * `BrokenAnswer`, which has what had come.
 */
export interface Generation extends AsyncIterable<string>, PromiseLike<Generated>, Proofs {
  /** Another way to iterate: the same text with its tokens. */
  pieces(): AsyncIterable<AnswerPiece>
}

export interface StageInfo {
  readonly peer: string
  /** [first, endExclusive] */
  readonly blocks: readonly [number, number]
  readonly backend: Backend
}

export interface Timing {
  /** From asking to the first token. */
  readonly firstTokenMs: number
  /** Decoding without the first token; 0 with fewer than two. */
  readonly tokensPerSecond: number
  /** Each token's interval less its stages' run times, by the number of links of the ring; empty with fewer than two. */
  readonly hopMs: readonly number[]
}

export interface Generated {
  readonly text: string
  /** With the end token, where the model gave one. */
  readonly tokenIds: readonly number[]
  /** Those that the text is made of, without the end token; with {@link GenerateOptions.logprobs} only. */
  readonly tokens?: readonly AnswerToken[]
  readonly promptTokens: number
  readonly finish: Finish
  readonly stages: readonly StageInfo[]
  readonly timing: Timing
  readonly ticket: Ticket
  /** Asked again, because what had come first was found wrong. */
  readonly corrected: boolean
}

export interface RunResult extends Proofs {
  readonly outputs: Readonly<Record<string, Tensor>>
  readonly stages: readonly StageInfo[]
}

export interface Embedded {
  /** One for each text, as long as the model is wide (384 for `all-minilm-l6-v2`), of length 1 where the model's manifest says so. */
  readonly embeddings: readonly Float32Array[]
  /** Tokens of all texts as they were computed: with the model's own marks, without what was left out. */
  readonly promptTokens: number
  /** Places of the texts whose ends were left out. */
  readonly cut: readonly number[]
  /** The server's signed receipts, one for each pipeline of each batch, some moments after; provisional as a rule. */
  readonly receipts: Promise<readonly Receipt[]>
  /** One for each batch: how it went, once the audits drawn are done. */
  readonly settled: Promise<readonly Receipt[]>
}

// ---- Giving --------------------------------------------------------------------------------------------------------

export interface DonateOptions {
  readonly server: string
  /** Revisions or names to serve; any when absent. */
  readonly models?: readonly string[]
  /** Bytes of weights and caches; default 1 GiB. */
  readonly maxMemory?: number
  /** Share of time to compute, 0.1 to 1; default 1. */
  readonly power?: number
  /** Default: webgpu, then wasm. */
  readonly backends?: readonly Backend[]
  /** The project (`p_…`) whose requests are served first: that of the page that the person came by. */
  readonly project?: string
  readonly identity?: Identity
  readonly signal?: AbortSignal
}

export interface TabDonateOptions extends DonateOptions {
  /** What pauses by itself; what is left out is as usual: on battery and on Save-Data. */
  readonly pauses?: Partial<PauseChoices>
}

export type DonationPhase =
  | 'elsewhere' // another tab of this browser gives; this one takes over when that one ends
  | 'connecting' // to the server, or again after a loss
  | 'waiting' // connected, nothing to hold yet
  | 'fetching' // weights
  | 'preparing' // carving, creating the session
  | 'checking' // golden activations
  | 'serving'
  | 'paused'
  | 'stopped'
  | 'failed' // and trying again where that helps; `reason` says

export interface DonationState {
  readonly phase: DonationPhase
  /** While it is paused in a tab: by whom or what, and until when. */
  readonly paused?: PauseCause
  /** One plain line: why it waits, is paused, failed or stopped; what it does otherwise. */
  readonly reason: string
  /** Whether the server is connected: answers under way go on without it. */
  readonly reachable: boolean
  readonly peer: string
  readonly model?: { readonly name: string; readonly title: string; readonly revision: string }
  /** [first, endExclusive] of `totalBlocks`. */
  readonly blocks?: readonly [number, number]
  readonly totalBlocks?: number
  /** The backend in use, after its golden check; never the one wished for. */
  readonly backend?: Backend
  readonly threads?: number
  readonly adapter?: string
  /** Why a better backend was passed over. */
  readonly fallbackReason?: string
  readonly progress?: { readonly doneBytes: number; readonly totalBytes: number; readonly secondsLeft?: number }
  /** Bytes of weights that came over the network in this load, and from the store. */
  readonly fetchedBytes: number
  readonly storedBytes: number
  /** Why weights will have to be fetched again next time. */
  readonly notKept?: string
  /** Answers under way. */
  readonly sessions: number
  /** Since joining. */
  readonly answers: number
  readonly rows: number
  readonly steps: number
  /** Rows computed a second, over the last seconds; 0 when idle. */
  readonly rowsPerSecond: number
  readonly busyMs: number
  /** Share of the last seconds in which it computed, 0 to 1; over longer times no more than `power`. */
  readonly busyShare: number
  /** Parts of others' answers computed again to check them, and their rows. */
  readonly audits: number
  readonly auditedRows: number
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly power: number
  /** How far this volunteer is trusted, and what that rests on; absent until the server has said. */
  readonly standing?: StandingInfo
  /** Since 1970, ms; when serving began. */
  readonly servingSince?: number
}

/** Events: `change` whenever {@link Donation.state} does (once a second for counters). */
export interface Donation extends EventTarget {
  readonly state: DonationState
  /** Takes no new answers; computes nothing until {@link resume}. `reason` is shown. */
  pause(reason?: string): void
  resume(): void
  /** 0.1 to 1. */
  setPower(power: number): void
  /** `now`: at once, in the middle of whatever runs. `finish`: no new answers, stops when those held are done. */
  stop(mode?: 'now' | 'finish'): Promise<void>
}

/** A tab's: it pauses by itself as its person chose, and gives only while no other tab of the browser does. */
export interface TabDonation extends Donation {
  /** @param forMs after which it goes on by itself */
  pause(reason?: string, forMs?: number): void
  /** What pauses it by itself from now on; what is left out stays as it is. */
  setPauses(choices: Partial<PauseChoices>): void
  /** Gives here instead of in the other tab, which stops: at the person's word only. */
  giveHere(): void
}
