/**
 * Every bound of the protocol, with its unit and its reason. Code and tests import these; no bare numbers elsewhere.
 */
const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

// ---- Data channels -------------------------------------------------------------------------------------------------
/** Chromium's maxMessageSize is 262,144; 64 KiB pieces interleave well and are what every stack carries. */
export const fragmentBytes = 64 * KiB
/** Above this many queued bytes a link stops sending (the queue itself is full at 16 MiB). */
export const highWaterBytes = 4 * MiB
/** Below this a stopped link goes on. */
export const lowWaterBytes = 1 * MiB
/** Largest reassembled message on a link: an image model's activations at a few megapixels. */
export const maxMessageBytes = 64 * MiB
/** Rows a custody chunk holds at most, so that `alone` fits 32 bits. */
export const chunkRows = 32
/** Largest control message (JSON) on a link: a shadow's ticket with the cuts of the longest session. */
export const maxControlBytes = 64 * KiB
/** A peer that sent nothing on a link for this long is asked. */
export const linkHeartbeatMs = 2_000
/** Silence after which it is lost. A wasm run blocks its worker, so this must outlast the longest honest run. */
export const linkLostMs = 15_000
/** Messages held while the other end's signature is still being checked. */
export const maxBeforeAuth = 64
/** Bytes a link queues behind a full channel: the largest step, twice. */
export const maxQueuedBytes = 128 * MiB
/** Rows received on a link that the sender has not signed for yet: 32 chunks under way. */
export const maxUnsignedRows = 32 * chunkRows
/** From the offer to an authenticated channel, STUN and TURN included. */
export const linkConnectMs = 15_000

// ---- Sessions ------------------------------------------------------------------------------------------------------
/** Stages in a pipeline: every further one adds a hop and a chance to break (facts: 2-4, 6 at most). */
export const maxStages = 8
/** Positions a session may reach, whatever the model says. */
export const maxPositions = 131_072
/** Tokens sent and not acknowledged by the requester before the last stage pauses. */
export const maxUnacknowledged = 64
/** Likeliest tokens told beside each token of an answer, at a requester's wish: what OpenAI's API allows. */
export const maxTopLogprobs = 20
/** No step within this and the session is closed as dead. */
export const sessionIdleMs = 60_000
/** A requester that went away is waited for so long: a phone that changes networks, a server that restarts. */
export const requesterGoneMs = 30_000
/** A session whose blocks nobody holds any more waits so long for somebody who does. */
export const replacementMs = 20_000
/** What an ended session sent and received is kept so long for audits. */
export const historyMs = 3 * 60_000
/** The same, of all ended sessions together; the oldest goes first. */
export const historyBytes = 64 * MiB
/** Rows that one message brings sketches of: 32 chunks. */
export const maxSketchRows = 1024
/** Custody chunks on one link: the longest session's, and half as many again for chunks closed early. */
export const maxLinkChunks = 6_144

// ---- Server --------------------------------------------------------------------------------------------------------
/** A control message: the largest is a session's route with its ticket, or an SDP with many candidates. */
export const maxSocketBytes = 64 * KiB
/** PeerJS signalling payloads (offer, answer, candidate). */
export const maxSignalBytes = 16 * KiB
/** A lease that is not renewed within this ends; volunteers renew at a third of it. */
export const leaseMs = 30_000
/** A hello's nonce is good for this long. */
export const helloMs = 10_000
/** A session ticket's life: longer than any answer, short enough to forget. */
export const ticketMs = 30 * 60_000

// ---- Models --------------------------------------------------------------------------------------------------------
/** A weightless graph: SmolLM2's is 0.4 MB; a 300-layer one 1 MB. */
export const maxGraphBytes = 32 * MiB
export const maxManifestBytes = 4 * MiB
export const maxShardBytes = 1 * GiB
export const maxBlocks = 1024
export const maxShards = 4096
export const maxTensorsAtCut = 16
export const maxTokenizerBytes = 64 * MiB
export const maxGoldenBytes = 256 * MiB
