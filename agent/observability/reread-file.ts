import { AgentError } from '../errors.js'
import type { Files } from '../ports/files.js'
import type { Recurring } from './once.js'

export interface RereadFileOptions {
  readonly path: string
  readonly maxBytes: number
  readonly files: Pick<Files, 'read'>
  /** What is wrong with the content, as the predicate of a sentence about the file, or null; `last`: what is in force. */
  readonly problemOf: (text: string, last: string | null) => string | null
  readonly recurring: Recurring
}

/**
 * A text file that the agent rereads while it runs. Only a good file replaces the content in force. A file that is empty,
 * cut off, missing or unreadable is reported until it is good again.
 */
export class RereadFile {
  #inForce: string | null = null
  /** Well-formed content that its user rejected. */
  #refused: { readonly text: string; readonly why: string } | null = null

  constructor(private readonly options: RereadFileOptions) {}

  /**
   * Rereads the file and returns the content in force, or null if the file has always been missing or empty. Throws `file.*`
   * for a bad file only while nothing is in force.
   */
  async read(): Promise<string | null> {
    const { recurring } = this.options
    try {
      const text = await this.#content()
      if (text === null) return null
      this.#inForce = text
      recurring.succeeded()
    } catch (error) {
      if (this.#inForce === null) throw error
      recurring.failed(error)
    }
    return this.#inForce
  }

  /** Goes back to `former` until the file changes. `text`: the content that was rejected, without surrounding spaces. */
  refuse(text: string, why: string, former: string): void {
    this.#refused = { text, why }
    this.#inForce = former
  }

  /** Accepts the rejected content after all. */
  forgive(): void {
    this.#refused = null
  }

  async #content(): Promise<string | null> {
    const { path, maxBytes, files } = this.options
    const text = (await files.read(path, { maxBytes }))?.toString('utf8') ?? null
    const empty = text === null || text.trim() === ''
    if (empty && this.#inForce === null) return null
    const absence = text === null ? 'is missing' : 'is empty'
    const problem = empty ? absence : this.#problemOf(text)
    if (problem === null) return text
    throw new AgentError('file.broken', `${path} ${problem}`, { details: { path } })
  }

  #problemOf(text: string): string | null {
    if (this.#refused?.text === text.trim()) return this.#refused.why
    this.#refused = null
    return this.options.problemOf(text, this.#inForce)
  }
}
