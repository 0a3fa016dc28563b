/**
 * What a platform gives the blob store: a flat folder of files, opened by one holder at a time where the platform can tell.
 * A file may be a whole blob or its first part; the store checks size and hash, so that nothing here has to be atomic.
 */
export interface FileEntry {
  readonly name: string
  readonly bytes: number
  /** Milliseconds since 1970 of the last write or touch. */
  readonly usedAt: number
}

export interface OpenFile {
  readonly bytes: number
  /** Fills `into` from the file's start. @throws when the file is shorter */
  read(into: Uint8Array): Promise<void>
  /** @throws ManyhandsError no-space */
  write(bytes: Uint8Array, at: number): Promise<void>
  truncate(bytes: number): Promise<void>
  /** Sets `usedAt` to now. */
  touch(): Promise<void>
  close(): Promise<void>
}

export interface BlobFiles {
  list(): Promise<FileEntry[]>
  /** Opens or makes a file; undefined while another tab holds it. @throws ManyhandsError no-space, unsupported */
  open(name: string): Promise<OpenFile | undefined>
  /** A file in use elsewhere stays; one that is not there is no error. */
  remove(name: string): Promise<void>
  /** Runs `work` while no other tab or call runs one of this name; bounded: after a wait it runs all the same. */
  exclusive<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>
}
