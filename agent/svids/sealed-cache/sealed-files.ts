import { dirname } from 'node:path'
import { open, seal } from '../../crypto/sealed-box.js'
import { isError, messageOf } from '../../errors.js'
import type { CacheEvents } from '../../observability/cache-events.js'
import type { Clock } from '../../ports/clock.js'
import type { Files } from '../../ports/files.js'
import type { CacheKeys } from './cache-key.js'

export interface SealedFilesOptions {
  readonly files: Files
  readonly clock: Pick<Clock, 'now'>
  readonly keys: CacheKeys
  readonly account: string
  readonly nodeId: string
  readonly events: CacheEvents
}

const MODE = 0o700
const MAX_BYTES = 64 * 1_048_576 + 4096

/**
 * Files that open only for this account and node, for the purpose that they were written for, and with our key or the
 * previous one. Each is replaced as a whole.
 */
export class SealedFiles {
  #previousUsed = false

  constructor(private readonly options: SealedFilesOptions) {}

  /** A file was opened with the previous key: write all again with the present key. */
  get previousUsed(): boolean {
    return this.#previousUsed
  }

  /** At the start: creates the directory of a file with its parents. Throws `file.*`. */
  async prepare(path: string): Promise<void> {
    await this.options.files.makeDirectory(dirname(path), MODE)
  }

  /** Writes a file; creates its directory if it is missing, but not its parents. Throws `file.*`. */
  async write(path: string, purpose: string, text: string): Promise<void> {
    const { keys, files } = this.options
    const box = seal(keys.current, Buffer.from(text), this.#context(purpose))
    try {
      return await files.writeAtomically(path, box)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    // Only after a failed write: the check is synchronous, and a disk that hangs would block the event loop.
    await files.makeDirectory(dirname(path), MODE, { alone: true })
    await files.writeAtomically(path, box)
  }

  /**
   * The parsed content; null if there is no file. A file that cannot be trusted is renamed together with `along` (files
   * that are useless without it), which is logged once, and the result is null. Throws `file.io` if the disk fails.
   */
  async read<T>(
    path: string,
    purpose: string,
    parse: (text: string) => T,
    along: readonly string[] = [],
  ): Promise<T | null> {
    const { files, keys, events } = this.options
    const box = await files.read(path, { maxBytes: MAX_BYTES, own: true })
    if (box === null) return null
    const problems: string[] = []
    for (const key of [keys.current, ...(keys.previous ? [keys.previous] : [])]) {
      try {
        const content = parse(open(key, box, this.#context(purpose)).toString('utf8'))
        if (key !== keys.current) this.#previousUsed = true
        return content
      } catch (error) {
        problems.push(messageOf(error))
      }
    }
    const aside = await this.#setAside(path)
    for (const other of along) {
      await this.#setAside(other).catch((error: unknown) => {
        // There are no SVID files if none was issued.
        if (!isMissing(error)) throw error
      })
    }
    events.rejected(aside, problems[0] ?? 'it cannot be read')
    return null
  }

  /** Renames it, with the time in its name; the agent never reads it again. */
  async #setAside(path: string): Promise<string> {
    const { files, clock } = this.options
    const aside = `${path}.rejected-${new Date(clock.now()).toISOString().replace(/[:.]/g, '-')}`
    await files.rename(path, aside)
    return aside
  }

  #context(purpose: string) {
    return { account: this.options.account, nodeId: this.options.nodeId, purpose }
  }
}

function isMissing(error: unknown): boolean {
  return isError(error, 'file.io') && error.details.errno === 'ENOENT'
}
