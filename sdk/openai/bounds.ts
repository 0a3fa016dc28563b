/** How much one request may ask for. */

/** Answers to one request at most: as many as one requester may have waiting for a place. */
export const maxChoices = 8

/**
 * Tokens of a chat's answer where the request names no bound. OpenAI has none; a volunteer would have to keep room for the
 * model's whole context. The reason that it ended says so where it was too few.
 */
export const defaultChatTokens = 1024

/** Texts of one request for embeddings: OpenAI's own bound. */
export const maxInputs = 2048
