/**
 * The disk. What the agent writes never goes through a symlink; what the platform provides (projected tokens, Secrets)
 * is made of symlinks and followed. All errors are AgentErrors (`file.io`, `file.unsafe`, `file.too_large`).
 */
export interface Files {
  /** The content, or null where there is no such file. Follows symlinks unless `own` (a file that the agent wrote). */
  read(path: string, options: { maxBytes: number; own?: boolean }): Promise<Buffer | null>
  /** Writes beside the target, fsyncs, renames over it, fsyncs the directory. Mode defaults to 0600. */
  writeAtomically(path: string, content: Uint8Array, mode?: number): Promise<void>
  /**
   * Creates the directory with the mode, what is missing above it with 0755; refuses one that others can write to.
   * `alone`: nothing is made above it, and `file.io` where something is missing there.
   */
  makeDirectory(path: string, mode: number, options?: { readonly alone?: boolean }): Promise<void>
  /** Names in a directory; empty where there is none. */
  list(path: string): Promise<readonly string[]>
  /** Which file or directory has that name now (its device and inode), or null: it was replaced where that changes. */
  identity(path: string): Promise<string | null>
  rename(from: string, to: string): Promise<void>
  /** No error where there is nothing to remove. */
  remove(path: string): Promise<void>
}
