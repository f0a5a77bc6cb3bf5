/** Where records of the audit log go, one line each. Nothing here throws or waits. */
export interface AuditTarget {
  /** False where the line was dropped: too much waits already. */
  write(line: string): boolean
  /** Bytes that are not written yet. */
  readonly waiting: number
  /** Why nothing can be written now; null while it can. */
  readonly failure: Error | null
  /** Tries again what failed. */
  retry(): void
  /** Reopens the file after it was rotated. Pending records go to the new one. */
  reopen(): void
  /** Takes no more lines. Resolves once what waits is written or refused, with the number of lines that are lost. */
  end(): Promise<number>
  /** A thread writes, or hangs in doing so. */
  readonly writing: boolean
}
