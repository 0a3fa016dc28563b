/** The types of `readPhoto`: what it takes and what comes of it. */
import type { RunResult, Verification } from '../types.ts'
import type { Quad } from './rectangle.ts'

/** Models by name or revision; the defaults are those of the catalogue. */
export interface PhotoModels {
  /** Finds text: `pp-ocrv4-det`. Null: the whole picture is one line. */
  readonly find?: string | null
  /** Tells which way up a line is: `pp-ocrv2-cls`. Null: all are taken as they lie. */
  readonly turn?: string | null
  /** Reads a line, and brings the file `characters`: `pp-ocrv4-rec`. */
  readonly read?: string
}

export interface PhotoOptions {
  readonly models?: PhotoModels
  /** Pixels of the photo's longer side that are searched for text, 32 to 2048; default 960. More finds smaller print, and takes longer. */
  readonly side?: number
  /** Lines read with less confidence are left out, 0 to 1; default 0.5. */
  readonly leastScore?: number
  readonly verify?: Verification
  /** Aborting stops the work at the volunteers too. */
  readonly signal?: AbortSignal
  onProgress?(progress: PhotoProgress): void
  /** What was handed out was found wrong: this takes its place. */
  onCorrection?(correction: PhotoCorrection): void
}

/** `finding` the lines, `turning` those that are upside down, `reading` them: runs that are done, of those there are. */
export interface PhotoProgress {
  readonly phase: 'finding' | 'turning' | 'reading'
  readonly done: number
  readonly of: number
}

export interface PhotoLine {
  /** Its corners in the photo's pixels, from where the text begins, clockwise as one reads it. */
  readonly box: Quad
  readonly text: string
  /** Mean probability of its characters, 0 to 1. */
  readonly score: number
}

export interface PhotoText {
  /** In reading order. */
  readonly lines: readonly PhotoLine[]
  /** All of it: pieces that stand in one row joined by spaces, rows by line ends. */
  readonly text: string
}

/** A run, with its stages and proofs, and what it was for. */
export interface PhotoRun extends RunResult {
  readonly phase: PhotoProgress['phase']
}

export interface PhotoReading extends PhotoText {
  /** Every run that it was made by. */
  readonly runs: readonly PhotoRun[]
  /** What it is once all audits are done and what they found is corrected; rejects as {@link RunResult.settled} does. */
  readonly settled: Promise<PhotoText>
}

export interface PhotoCorrection extends PhotoText {
  /** What was found, in a sentence. */
  readonly reason: string
}
