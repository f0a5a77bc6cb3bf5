/** The destination of audit records, one line each. No method throws or waits. */
export interface AuditTarget {
  /** False if the line was dropped, because too much waits already. */
  write(line: string): boolean
  /** Bytes that are not written yet. */
  readonly waiting: number
  /** Why nothing can be written now; null while it can. */
  readonly failure: Error | null
  /** Retries a failed write. */
  retry(): void
  /** Reopens the file after it was rotated. Pending records go to the new one. */
  reopen(): void
  /** Accepts no more lines. Resolves when all waiting lines are written or refused, with the number of lost lines. */
  end(): Promise<number>
  /** A thread is writing, or hangs while writing. */
  readonly writing: boolean
}
