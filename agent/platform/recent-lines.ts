/** The last lines that were written, bounded by their bytes, for whoever asks what was logged. */
export class RecentLines {
  #lines: string[] = []
  #bytes = 0
  #dropped = 0

  constructor(private readonly maxBytes: number) {}

  /** A line that is larger than everything may be is counted, and not kept. */
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

  /** Lines that are no longer here. */
  get dropped(): number {
    return this.#dropped
  }
}
