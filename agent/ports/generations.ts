/** A file that is to be there, under its name in the directory. */
export interface OutputFile {
  readonly name: string
  readonly content: Uint8Array
  /** Permission bits, whatever the umask. */
  readonly mode: number
}

/** A directory of files that belong together and are replaced together. Throws `file.io`, `file.unsafe`. */
export interface Generations extends Disposable {
  /**
   * Makes these files, and no others of earlier calls, be there; they become visible in their order, or all at once.
   * False where they are there already, as they are.
   */
  put(files: readonly OutputFile[]): boolean
  /** Removes generations that were replaced some time ago, and what a killed process has left. */
  sweep(): void
}
