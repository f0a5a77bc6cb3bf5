/** The latest log lines, bounded by bytes, for `icp-agent` commands. */
export class RecentLines {
  #lines: string[] = []
  #bytes = 0
  #dropped = 0

  constructor(private readonly maxBytes: number) {}

  /** A line larger than the whole limit is counted as dropped. */
  add(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (bytes > this.maxBytes) {
      this.#dropped++
      return
    }
    this.#lines.push(line)
    this.#bytes += bytes
    let oldest = 0
    while (this.#bytes > this.maxBytes) this.#bytes -= Buffer.byteLength(this.#lines[oldest++] ?? '')
    if (oldest === 0) return
    this.#lines.splice(0, oldest)
    this.#dropped += oldest
  }

  /** Oldest first, each with its line feed. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Number of lines no longer kept. */
  get dropped(): number {
    return this.#dropped
  }
}
