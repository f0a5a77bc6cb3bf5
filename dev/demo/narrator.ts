import type { Style } from '../../agent/main/terminal/style.js'
import { board } from './board.js'
import type { DemoEvent } from './events.js'
import { eventLines, lifeLine } from './lines.js'
import { Screen, type Terminal } from './screen.js'
import type { Story } from './story.js'

const FRAME_MS = 200
const PLAIN_LIVES_MS = 5_000
const LEAST_COLUMNS = 70
const LEAST_ROWS = 20

/** Shows the demo on a terminal. Disposing stops its redraws. */
export interface Narrator extends Disposable {
  /** `before` and `after` are the story around the event. */
  tell(event: DemoEvent, before: Story, after: Story): void
}

/** A full-screen narrator if the terminal is large enough, else plain lines. */
export function narratorFor(
  out: Terminal & { readonly isTTY?: boolean | undefined },
  style: Style,
  now: () => number,
): Narrator {
  const large = (out.columns ?? 0) >= LEAST_COLUMNS && (out.rows ?? 0) >= LEAST_ROWS
  return out.isTTY === true && large ? new Painter(out, style, now) : new LineWriter(out, style, now)
}

/** The beginning of each line: seconds since the demo began. */
function stamp(since: number, now: number, { dim }: Style): string {
  return dim(`${((now - since) / 1000).toFixed(1).padStart(5)}s `)
}

class Painter implements Narrator {
  readonly #screen: Screen
  readonly #timer: NodeJS.Timeout
  readonly #began: number
  #story: Story | null = null

  constructor(
    out: Terminal,
    private readonly style: Style,
    private readonly now: () => number,
  ) {
    this.#screen = new Screen(out)
    this.#began = now()
    this.#timer = setInterval(() => this.#draw([]), FRAME_MS)
  }

  tell(event: DemoEvent, before: Story, after: Story): void {
    this.#story = after
    const now = this.now()
    const lines = eventLines(event, before, now, this.style, true)
    this.#draw(lines.map((line) => stamp(this.#began, now, this.style) + line))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#screen[Symbol.dispose]()
  }

  #draw(above: readonly string[]): void {
    if (this.#story) this.#screen.draw(above, board(this.#story, this.now(), this.#screen.columns, this.style))
  }
}

class LineWriter implements Narrator {
  readonly #timer: NodeJS.Timeout
  readonly #began: number
  #story: Story | null = null

  constructor(
    private readonly out: Terminal,
    private readonly style: Style,
    private readonly now: () => number,
  ) {
    this.#began = now()
    this.#timer = setInterval(() => this.#lives(), PLAIN_LIVES_MS)
  }

  tell(event: DemoEvent, before: Story, after: Story): void {
    this.#story = after
    const now = this.now()
    this.#write(eventLines(event, before, now, this.style), now)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #lives(): void {
    const now = this.now()
    this.#write(
      (this.#story?.held.get('spiffe') ?? []).map((held) => lifeLine(held, now, this.style)),
      now,
    )
  }

  #write(lines: readonly string[], now: number): void {
    for (const line of lines) this.out.write(`${stamp(this.#began, now, this.style)}${line}\n`)
  }
}
