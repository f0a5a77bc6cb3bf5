/** Where the demo draws: a terminal, as far as it needs one. */
export interface Terminal {
  write(text: string): unknown
  readonly columns?: number | undefined
  readonly rows?: number | undefined
}

const UP = (lines: number) => (lines === 0 ? '\r' : `\u001b[${lines}A\r`)
const CLEAR_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'
const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'

/** Lines that scroll up, above a picture that is drawn over. Disposing gives the cursor back below the picture. */
export class Screen implements Disposable {
  #height = 0
  #hidden = false

  constructor(private readonly terminal: Terminal) {}

  get columns(): number {
    return this.terminal.columns ?? 80
  }

  /** Draws the picture again, with new lines above it. A picture that is higher than the terminal is cut. */
  draw(above: readonly string[], picture: readonly string[]): void {
    const shown = picture.slice(0, Math.max(1, (this.terminal.rows ?? 24) - 1))
    const text = [...above, ...shown].map((line) => `${line}${CLEAR_LINE}\n`).join('')
    this.terminal.write(`${this.#hidden ? '' : HIDE_CURSOR}${UP(this.#height)}${text}${CLEAR_BELOW}`)
    this.#hidden = true
    this.#height = shown.length
  }

  [Symbol.dispose](): void {
    if (this.#hidden) this.terminal.write(SHOW_CURSOR)
    this.#hidden = false
    this.#height = 0
  }
}
