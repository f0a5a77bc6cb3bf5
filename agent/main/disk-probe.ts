import { join } from 'node:path'
import { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Log } from '../observability/log.js'
import { type Recurring, sayOnce, type Trouble } from '../observability/once.js'
import type { HeldLock } from '../platform/file-lock.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'

/** Interval of the writes. With long-lived SVIDs nothing else may be written for minutes. */
const EVERY_MS = 15_000
const NAME = '.probe'

interface ProbedDisk {
  readonly files: Pick<Files, 'writeAtomically' | 'identity'>
  readonly clock: Clock
  readonly log: Log
}

/**
 * Writes a small file into the data directory at intervals, so that health shows a disk that hangs or is full before the
 * agent needs it. Does not log failed writes, which the code that needs the disk does. Before each write it checks that the
 * directory is still the locked one: writes into another directory would succeed unnoticed.
 */
export class DiskProbe {
  #trouble: Trouble | null = null
  readonly #replaced: Recurring

  constructor(
    private readonly dataDir: string,
    private readonly world: ProbedDisk,
  ) {
    this.#replaced = sayOnce(world.log, world.clock, {
      failing: 'Data directory was replaced',
      recovered: 'Data directory is back',
    })
  }

  /** Null while it works. */
  get trouble(): Trouble | null {
    return this.#replaced.trouble ?? this.#trouble
  }

  /** Runs until the signal aborts. `lock`: of a file in the directory. */
  async run(lock: Pick<HeldLock, 'path' | 'identity'>, signal: AbortSignal): Promise<void> {
    const held = new Map([[lock.path, lock.identity]])
    while (!signal.aborted) {
      await this.#look(held)
      await sleepUnlessAborted(this.world.clock, EVERY_MS, signal)
    }
  }

  async #look(held: Map<string, string>): Promise<void> {
    const { files, clock } = this.world
    const since = this.#trouble?.since ?? clock.now()
    try {
      if (await this.#isReplaced(held)) return
      await files.writeAtomically(join(this.dataDir, NAME), Buffer.from('icp-agent\n'))
      this.#trouble = null
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      this.#trouble = { code: error.code, message: error.message, since }
    }
  }

  async #isReplaced(held: Map<string, string>): Promise<boolean> {
    for (const [path, identity] of held) {
      const now = await this.world.files.identity(path)
      if (now === identity) continue
      this.#replaced.failed(replaced(this.dataDir, now === null ? `${path} is gone` : `${path} is another one`))
      return true
    }
    if (!held.has(this.dataDir)) {
      const identity = await this.world.files.identity(this.dataDir)
      if (identity !== null) held.set(this.dataDir, identity)
    }
    this.#replaced.succeeded()
    return false
  }
}

function replaced(dataDir: string, seen: string): AgentError {
  const text = `the data directory ${dataDir} was removed or replaced while the agent runs (${seen}); restart the agent`
  return new AgentError('file.io', text, { details: { path: dataDir } })
}
