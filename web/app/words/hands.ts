/** The colour of each stage of a pipeline, in turn; see --hand-1 to --hand-5. */
export type Hand = 1 | 2 | 3 | 4 | 5

export const hand = (index: number): Hand => ((index % 5) + 1) as Hand
