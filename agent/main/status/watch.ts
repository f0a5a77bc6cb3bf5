import type { TextSink } from '../command.js'

const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const CLEAR_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'

/** The full-screen terminal, redrawn repeatedly; disposal restores its former content. */
export class FullScreen implements Disposable {
  constructor(private readonly terminal: TextSink) {
    terminal.write(ENTER)
  }

  /** Lines that do not fit are dropped at the bottom. */
  draw(lines: readonly string[]): void {
    const shown = lines.slice(0, this.terminal.rows ?? 24)
    this.terminal.write(`${HOME}${shown.map((line) => line + CLEAR_LINE).join('\n')}${CLEAR_BELOW}`)
  }

  [Symbol.dispose](): void {
    this.terminal.write(LEAVE)
  }
}
