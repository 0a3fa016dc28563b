/**
 * Every constant of trust, with its reason. The server and the simulation (docs/simulation.md has the curves) use the same ones.
 */
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

// ---- Standing ------------------------------------------------------------------------------------------------------
/** Agreements before a key may produce: a new key must do far more than the few lies that it gets through before it is barred. */
export const provenAgreements = 150
/** Beyond this, more agreements make nobody more trusted: who came later catches up. */
export const fullAgreements = 2_000
/** A second loss within so many agreements bars the key. Honest work fails 2 times in 10,000: one honest loss in ten is followed by another this soon. */
export const strikeOutlivedBy = 500
/** A barred key is a stranger again after this: broken memory gets replaced, and a fresh key would be free anyway. */
export const barredMs = 7 * day
/** What a network prefix is remembered for: strangers share addresses, and addresses change hands. */
export const prefixBarHalfLifeMs = 7 * day
/** Each bar from a prefix doubles what its next newcomers must show, up to 2^5. */
export const mostPrefixDoublings = 5
/** A route prefers those who have shown more; who has shown less than this part of full trust counts as with so much. */
export const leastShown = 1e-3
/** The operator's own are spared for what only they can do, while others have places. */
export const anchorRoutingCost = 4
/** A tab that has stayed so long is likely to stay for the next answer (facts: 2.2 % of answers interrupted instead of 10.6 %). */
export const agedMs = 15 * minute
/** One that has just come costs so much more. */
export const mostFreshCost = 8

// ---- Audits --------------------------------------------------------------------------------------------------------
/** Share of stage-jobs audited in a quiet network: what its newcomers need to show themselves, within 6 % of all work. */
export const quietShare = 0.03
/** Under attack: of 30 % that may be spent at most, referees, re-audits, re-runs and failover take the rest. */
export const mostShare = 0.2
/** Barred producers per audit: where the share begins to rise, above what honest bad luck does, and where it is at its most. */
export const alarmFrom = 1e-4
export const alarmFull = 3e-4
/** Audits over which finds are averaged: one bar alone raises no alarm. */
export const alarmMemory = 20_000
/** Of who has just become proven everything is audited; half after so many more agreements, and on in that manner. */
export const earlyAudits = 10
/** Who produces unproven, where nobody proven can, is audited at least so much. */
export const unprovenShare = 0.25
/** Share after a strike, and for how many agreements: a second lie soon after the first costs the key. */
export const watchedShare = 1
export const watchedFor = 30
/** Of all audits, so many are done by peers that are proven themselves; newcomers, who must earn, get the others. */
export const provenAuditorShare = 0.1
/** A newcomer's audit goes to whoever has shown most of so many drawn by chance: most tabs close soon, and what they have shown is lost. */
export const newcomersCompared = 8
/** Of the audits in which a newcomer agreed, so many are done again by a proven peer: two who agree on a lie are both found. */
export const recheckShare = 0.05
/** Of a newcomer's work, so much has an answer that is known already; the first piece more often, since a vandal shows there. */
export const canaryShare = 0.01
export const firstCanaryShare = 0.5
/** Auditors of one job at most: itself, one auditor, and three referees make five votes. */
export const mostReferees = 3

// ---- Comparison ----------------------------------------------------------------------------------------------------
/** Relative L2 of a row between backends: 5 x the largest honest noise measured, below every cheat but f16 in one matrix. */
export const usualLimit = 1e-5
/** Nothing that a backend pair is calibrated to goes past this: f16 weights in one layer are 5e-5. */
export const largestLimit = 5e-5

// ---- After a loss --------------------------------------------------------------------------------------------------
/** Chunks of a peer that are audited again after its first loss. */
export const backtrackChunks = 60

// ---- Backends ------------------------------------------------------------------------------------------------------
/** Losers of one backend on one model, all different people from different networks, before the backend is doubted. */
export const quarantineLosers = 3
/** Share of its audits that a doubted backend must have lost: a wrong kernel loses nearly all, a crowd of liars is diluted by the honest. */
export const quarantineShare = 0.5
/** Audits that a backend is judged by: older ones fade. */
export const quarantineMemory = 200
