import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Program } from './programs.js'

/** A line that a client program printed. */
export interface Told {
  readonly event?: string
  readonly reply?: string
  readonly error?: string
  readonly result?: unknown
  readonly [name: string]: unknown
}

const PATIENCE_MS = 60_000

/** A client program of another language: it tells what it sees line by line, and answers commands. */
export class ClientProcess implements AsyncDisposable {
  readonly told: Told[] = []
  readonly #child: ChildProcessWithoutNullStreams
  readonly #stderr: string[] = []
  readonly #watching = new Set<() => void>()
  #ended: string | null = null
  #asked = 0

  /** `socket` is told as a workload is told: by SPIFFE_ENDPOINT_SOCKET. */
  constructor(program: Program, socket: string, args: readonly string[] = []) {
    this.#child = spawn(program.command, [...program.args, ...args], {
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: socket, ...program.env },
    })
    this.#child.stdin.on('error', (error) => void this.#stderr.push(`stdin: ${error.message}\n`))
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => void this.#stderr.push(text))
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) this.told.push(JSON.parse(line) as Told)
      else this.#stderr.push(`${line}\n`)
      this.#wake()
    })
    this.#child.on('error', (error) => this.#end(error.message))
    this.#child.on('close', (code, signal) => this.#end(`exit code ${code}, signal ${signal}`))
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** A place in what was told: `next` looks from there on. */
  get now(): number {
    return this.told.length
  }

  /** The first line, from `since` on, that `like` likes. Rejects when the program ends or patience does. */
  async next(what: string, like: (told: Told) => boolean, since = 0, patience = PATIENCE_MS): Promise<Told> {
    const end = performance.now() + patience
    for (;;) {
      const found = this.told.slice(since).find(like)
      if (found) return found
      const broken = this.told.slice(since).find(({ event }) => event === 'broken')
      if (broken) throw this.#failure(`what the client got is broken: ${broken.error}`)
      if (this.#ended !== null) throw this.#failure(`the client ended (${this.#ended}) before ${what}`)
      const left = end - performance.now()
      if (left <= 0) throw this.#failure(`${what} did not happen within ${patience / 1000} s`)
      await this.#change(left)
    }
  }

  /** An event by its name. */
  async event(
    name: string,
    like: (told: Told) => boolean = () => true,
    since = 0,
    patience = PATIENCE_MS,
  ): Promise<Told> {
    return await this.next(`"${name}"`, (told) => told.event === name && like(told), since, patience)
  }

  /** Asks the program to do something; resolves with its answer, which may be an error. */
  async ask(...words: readonly string[]): Promise<Told> {
    const number = String(++this.#asked)
    this.#child.stdin.write(`${[number, ...words].join(' ')}\n`)
    return await this.next(`the answer to "${words[0]}"`, ({ reply }) => reply === number)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'close')
  }

  #end(how: string): void {
    this.#ended ??= how
    this.#wake()
  }

  #wake(): void {
    const waiting = [...this.#watching]
    this.#watching.clear()
    for (const wake of waiting) wake()
  }

  async #change(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#watching.add(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #failure(text: string): Error {
    const told = this.told.slice(-10).map((line) => JSON.stringify(line).slice(0, 500))
    return new Error(`${text}\nlast told:\n${told.join('\n')}\nstderr:\n${this.#stderr.join('').slice(-3000)}`)
  }
}
