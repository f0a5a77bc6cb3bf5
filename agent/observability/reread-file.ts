import { AgentError } from '../errors.js'
import type { Files } from '../ports/files.js'
import type { Recurring } from './once.js'

export interface RereadFileOptions {
  readonly path: string
  readonly maxBytes: number
  readonly files: Pick<Files, 'read'>
  /** What is wrong with the content, as the rest of a sentence that its name begins, or null; `last`: what is in force. */
  readonly judge: (text: string, last: string | null) => string | null
  readonly said: Recurring
}

/**
 * A text file that is read again while the agent runs. Only a whole file replaces what is in force: one that is emptied,
 * cut off, gone or not to be read at all is an accident of whatever writes it, and is told until it is over.
 */
export class RereadFile {
  #inForce: string | null = null
  /** Good by its form, and refused by whom it was shown to. */
  #refused: { readonly text: string; readonly why: string } | null = null

  constructor(private readonly options: RereadFileOptions) {}

  /**
   * What is in force after a look at the file; null where the file is missing or empty and always was. Throws `file.*` for a file
   * that cannot be used only while nothing is in force.
   */
  async read(): Promise<string | null> {
    const { said } = this.options
    try {
      const text = await this.#content()
      if (text === null) return null
      this.#inForce = text
      said.succeeded()
    } catch (error) {
      if (this.#inForce === null) throw error
      said.failed(error)
    }
    return this.#inForce
  }

  /** Goes back to `former` until the file changes: `text`, its content but for the spaces around it, was of no use. */
  refuse(text: string, why: string, former: string): void {
    this.#refused = { text, why }
    this.#inForce = former
  }

  /** Takes what the file holds after all. */
  forgive(): void {
    this.#refused = null
  }

  async #content(): Promise<string | null> {
    const { path, maxBytes, files, judge } = this.options
    const text = (await files.read(path, { maxBytes }))?.toString('utf8') ?? null
    const empty = text === null || text.trim() === ''
    if (empty && this.#inForce === null) return null
    const absence = text === null ? 'is missing' : 'is empty'
    const problem = empty ? absence : this.#judged(text, judge)
    if (problem === null) return text
    throw new AgentError('file.broken', `${path} ${problem}`, { details: { path } })
  }

  #judged(text: string, judge: RereadFileOptions['judge']): string | null {
    if (this.#refused?.text === text.trim()) return this.#refused.why
    this.#refused = null
    return judge(text, this.#inForce)
  }
}
