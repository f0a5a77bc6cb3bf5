/**
 * The disk. Files of the agent are never written through a symlink; files of the platform (projected tokens, Secrets) are
 * symlinks, which are followed. All errors are AgentErrors (`file.io`, `file.unsafe`, `file.too_large`).
 */
export interface Files {
  /** The content, or null if there is no such file. Follows symlinks unless `own` (a file that the agent wrote). */
  read(path: string, options: { maxBytes: number; own?: boolean }): Promise<Buffer | null>
  /** Writes beside the target, fsyncs, renames over it, fsyncs the directory. Mode defaults to 0600. */
  writeAtomically(path: string, content: Uint8Array, mode?: number): Promise<void>
  /**
   * Creates the directory with the mode and missing parents with 0755; refuses one that others can write to. `alone`:
   * creates no parents, and throws `file.io` if one is missing.
   */
  makeDirectory(path: string, mode: number, options?: { readonly alone?: boolean }): Promise<void>
  /** Names in a directory; empty if there is no such directory. */
  list(path: string): Promise<readonly string[]>
  /** Device and inode of the file or directory at that path, or null; if the value changes, it was replaced. */
  identity(path: string): Promise<string | null>
  rename(from: string, to: string): Promise<void>
  /** No error if there is nothing to remove. */
  remove(path: string): Promise<void>
}
