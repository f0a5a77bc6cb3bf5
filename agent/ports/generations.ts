/** A file to write, by its name in the directory. */
export interface OutputFile {
  readonly name: string
  readonly content: Uint8Array
  /** Permission bits, whatever the umask. */
  readonly mode: number
}

/** A directory of files that belong together and are replaced together. Throws `file.io`, `file.unsafe`. */
export interface Generations extends Disposable {
  /**
   * Writes these files, and removes others of earlier calls; they become visible in their order, or all at once. False if
   * the files already have this content.
   */
  put(files: readonly OutputFile[]): boolean
  /** Removes generations that were replaced some time ago, and leftovers of a killed process. */
  sweep(): void
}
