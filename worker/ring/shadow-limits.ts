/** Bounds of what is computed again beside the answers. */
const MiB = 1024 * 1024

/** Bytes of rows that a source sends ahead of what the shadow has run: a few hundred rows, and no burden beside live steps. */
export const feedWindowBytes = 1 * MiB
/** Live answers that leave no turn for so long have no room for an audit; a source that is silent so long has nothing to give. */
export const shadowPatienceMs = 120_000
/** What was committed to is kept so long for sketches of it: the server compares at once. */
export const revealMs = 30_000
/** Outputs kept for that, or for taking a stage over: 8,192 rows of a small model, three times. */
export const maxShadowBytes = 64 * MiB
/** A holder hands a chunk over within this, or it does not have it. */
export const fetchMs = 15_000
/** Shadows at once: an audit or two, and the standbys of a busy stage. */
export const maxShadows = 8
/** Shadows that one peer feeds at once. */
export const maxFeeds = 8
