import { Child } from './child.js'

type OutputLine = Readonly<Record<string, unknown>>

/** The processes of the demo, in the order in which they were started. */
export class Processes implements AsyncDisposable {
  readonly #children: Child[] = []
  #closing = false

  /** True while they are being ended on purpose; their output is then ignored. */
  get closing(): boolean {
    return this.#closing
  }

  start(
    name: string,
    args: readonly string[],
    onLine: (text: string) => void,
    extra: Readonly<Record<string, string>> = {},
  ): Child {
    if (this.#closing) throw new Error('the demo is ending')
    const quietly = (text: string) => {
      if (!this.#closing) onLine(text)
    }
    const child = Child.start({ name, args, env: { ...environment(), ...extra }, onLine: quietly })
    this.#children.push(child)
    return child
  }

  /** Starts a process that writes JSON lines, and waits for the line that shows that it is up. */
  async startUntil(
    name: string,
    args: readonly string[],
    isUp: (line: OutputLine) => boolean,
    onLine: (text: string) => void = () => undefined,
  ): Promise<{ readonly child: Child; readonly line: OutputLine }> {
    return await new Promise((resolve, reject) => {
      const child: Child = this.start(name, args, (text) => {
        onLine(text)
        const line = jsonLine(text)
        if (line && isUp(line)) resolve({ child, line })
      })
      void child.ended.then((how) => reject(endedEarly(child, how)))
    })
  }

  /** Rejects when one of the processes ends unexpectedly. */
  async failure(): Promise<never> {
    return await Promise.race(
      this.#children.map(async (child) => {
        const how = await child.ended
        if (this.#closing) return await new Promise<never>(() => undefined)
        throw endedEarly(child, how)
      }),
    )
  }

  kill(): void {
    for (const child of this.#children) child.kill()
  }

  /** Ends them one by one, the last one first, so that none calls one that has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    for (const child of [...this.#children].reverse()) await child.stop()
  }
}

/** A line of JSON, or null for anything else. */
export function jsonLine(text: string): OutputLine | null {
  try {
    const line: unknown = JSON.parse(text)
    return typeof line === 'object' && line !== null ? (line as OutputLine) : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

function endedEarly(child: Child, how: string): Error {
  const said = child.tail.map((line) => `\n  ${line}`).join('')
  return new Error(`${child.options.name} ended by itself (${how})${said === '' ? '' : `; it said last:${said}`}`)
}

/** The environment without the user's own settings. */
function environment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: process.env['HOME'] ?? '/', TZ: 'UTC' }
}
