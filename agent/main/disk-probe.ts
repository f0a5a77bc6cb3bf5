import { join } from 'node:path'
import { AgentError } from '../errors.js'
import type { Trouble } from '../observability/once.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'

/** Between two writes. Where SVIDs live long, nothing else may be written for minutes. */
const EVERY_MS = 15_000
const NAME = '.probe'

/**
 * Writes a small file into the data directory at intervals, so that a disk that hangs or is full shows in the health
 * before something has to be kept there. It logs nothing: whoever has to keep something says what failed.
 */
export class DiskProbe {
  #trouble: Trouble | null = null

  constructor(
    private readonly dataDir: string,
    private readonly files: Pick<Files, 'writeAtomically'>,
    private readonly clock: Pick<Clock, 'now' | 'sleep'>,
  ) {}

  /** Null while it works. */
  get trouble(): Trouble | null {
    return this.#trouble
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look()
      await this.clock.sleep(EVERY_MS, signal).catch((reason: unknown) => {
        if (!signal.aborted) throw reason
      })
    }
  }

  async #look(): Promise<void> {
    const since = this.#trouble?.since ?? this.clock.now()
    try {
      await this.files.writeAtomically(join(this.dataDir, NAME), Buffer.from('icp-agent\n'))
      this.#trouble = null
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      this.#trouble = { code: error.code, message: error.message, since }
    }
  }
}
