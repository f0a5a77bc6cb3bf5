import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const KEPT_LINES = 30
const GRACE_MS = 5_000

export interface ChildOptions {
  /** Its name in messages: `the agent`. */
  readonly name: string
  /** Script and arguments for this Node. */
  readonly args: readonly string[]
  /** The complete environment of the process; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly onLine: (line: string) => void
}

/** A process of the demo, with its output by lines and its end. */
export class Child {
  /** Its last lines, for the message if it ends too early. */
  readonly tail: string[] = []
  /** Resolves when the process has ended, with a text about how. */
  readonly ended: Promise<string>
  readonly #process: ChildProcess

  private constructor(readonly options: ChildOptions) {
    this.#process = spawn(process.execPath, options.args, {
      env: options.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      // A process group of its own: Ctrl-C reaches only the demo, which stops its processes in order.
      detached: true,
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(error.message))
      this.#process.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal))
    })
    // The process may end before it has read everything.
    this.#process.stdin?.on('error', () => undefined)
    this.#listen('stdout', options.onLine)
    this.#listen('stderr', () => undefined)
  }

  static start(options: ChildOptions): Child {
    return new Child(options)
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined
  }

  /** Asks it to end, and kills it after 5 seconds. */
  async stop(): Promise<void> {
    if (!this.running) return
    this.#process.kill('SIGTERM')
    const late = setTimeout(() => this.kill(), GRACE_MS)
    await this.ended
    clearTimeout(late)
  }

  /** Kills it. */
  kill(): void {
    if (this.running) this.#process.kill('SIGKILL')
  }

  #listen(from: 'stdout' | 'stderr', onLine: (line: string) => void): void {
    const stream = this.#process[from]
    if (!stream) return
    createInterface({ input: stream }).on('line', (line) => {
      this.tail.push(line)
      if (this.tail.length > KEPT_LINES) this.tail.shift()
      onLine(line)
    })
  }
}
