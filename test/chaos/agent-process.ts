import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, readdirSync, readFileSync } from 'node:fs'
import { DefectReader } from './defects.js'
import type { Ledger } from './ledger.js'
import type { Programs } from './programs.js'

export interface AgentProcessOptions {
  readonly name: string
  readonly programs: Programs
  readonly configPath: string
  /** Every line that the agent ever writes. */
  readonly logPath: string
  readonly ledger: Ledger
  /** How far the node's clock is off now. */
  readonly offset: () => number
}

const STOP_LIMIT_MS = 5_000

/** The agent of one node: a real process that is killed, stopped and started again. */
export class AgentProcess {
  #child: ChildProcess | null = null
  #expected = new WeakSet<ChildProcess>()

  constructor(private readonly options: AgentProcessOptions) {}

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Nothing where it runs: two faults at once may both want it back. */
  start(): void {
    if (this.#child) return
    const { programs, configPath, offset } = this.options
    const child = spawn(
      process.execPath,
      ['--expose-gc', '--import', programs.skew, programs.agent, '-c', configPath],
      {
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        env: { PATH: process.env['PATH'] ?? '', CHAOS_CLOCK_OFFSET: String(offset()) },
      },
    )
    this.#child = child
    const defects = new DefectReader()
    child.stdout?.on('data', (chunk: Buffer) => {
      appendFileSync(this.options.logPath, chunk)
      for (const line of defects.read(chunk.toString('utf8'))) this.#note('log', line)
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      // Nothing that the agent has to say belongs there: a rejection that nobody handles ends up there.
      this.#note('stderr', chunk.toString('utf8'))
    })
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = null
      if (!this.#expected.has(child)) this.#note('ended by itself', `${signal ?? code}`)
    })
    child.on('error', (error) => this.#note('error', error.message))
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM; it must come to its end soon, and well. */
  async stop(): Promise<void> {
    const began = Date.now()
    const code = await this.#end('SIGTERM')
    if (code !== null && code !== 0) this.#note('a stop failed', `exit code ${code}`)
    if (Date.now() - began > STOP_LIMIT_MS) this.#note('a stop took too long', `${Date.now() - began} ms`)
  }

  clockChanged(): void {
    if (this.#child?.connected) this.#child.send({ offset: this.options.offset() }, () => undefined)
  }

  /** What of the heap is in use after a full collection, in KiB; null while it does not run. */
  async heap(): Promise<number | null> {
    const child = this.#child
    if (!child?.connected) return null
    const done = new AbortController()
    const first = (event: string) => once(child, event, { signal: done.signal })
    const answer = Promise.race([
      first('message').then(([message]) => (message as { readonly heapKib: number }).heapKib),
      first('exit').then(() => null),
    ])
    child.send({ weigh: true }, () => undefined)
    try {
      return await answer
    } finally {
      done.abort()
    }
  }

  /** Resident memory in KiB and open descriptors; null while it does not run. */
  sample(): { readonly rssKib: number; readonly fds: number } | null {
    try {
      const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
      const fds = readdirSync(`/proc/${this.pid}/fd`).length
      return { rssKib: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0), fds }
    } catch (error) {
      if (error instanceof Error && 'code' in error) return null
      throw error
    }
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (!child) return null
    this.#expected.add(child)
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    child.kill(signal)
    return await ended
  }

  #note(what: string, detail: string): void {
    this.options.ledger.violation(`agent ${this.options.name}: ${what}: ${detail.trim().slice(0, 2000)}`, Date.now())
  }
}
