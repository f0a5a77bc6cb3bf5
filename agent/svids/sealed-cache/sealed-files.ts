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
 * one before it. Each is replaced as a whole.
 */
export class SealedFiles {
  #previousUsed = false

  constructor(private readonly options: SealedFilesOptions) {}

  /** Something was opened with the previous key: write it again with the new key. */
  get previousUsed(): boolean {
    return this.#previousUsed
  }

  /** At the start: the directory of a file, with what is missing above it. Throws `file.*`. */
  async prepare(path: string): Promise<void> {
    await this.options.files.makeDirectory(dirname(path), MODE)
  }

  /** Makes the directory where it is missing, and nothing above it. Throws `file.*`. */
  async write(path: string, purpose: string, text: string): Promise<void> {
    const { keys, files } = this.options
    const box = seal(keys.current, Buffer.from(text), this.#context(purpose))
    try {
      return await files.writeAtomically(path, box)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    // Not before each write: it looks at once, and a disk that hangs would hold up everything else.
    await files.makeDirectory(dirname(path), MODE, { alone: true })
    await files.writeAtomically(path, box)
  }

  /**
   * What `parse` makes of the content; null where there is no file, and for one that cannot be trusted: it is renamed,
   * with `along` (what is worth nothing without it), which is logged once. Throws `file.io` where the disk fails.
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
        // A life that issued nothing leaves no SVIDs.
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
