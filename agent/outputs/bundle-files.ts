import { join } from 'node:path'
import { AgentError } from '../errors.js'
import { Alarm } from '../lib/alarm.js'
import type { OutputEvents } from '../observability/output-events.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { SvidStore } from '../svids/store.js'
import { bundleTexts } from './bundle-texts.js'

export interface BundleFilesOptions {
  readonly store: Pick<SvidStore, 'current' | 'observe'>
  readonly files: Pick<Files, 'makeDirectory' | 'writeAtomically' | 'remove'>
  readonly clock: Clock
  readonly events: OutputEvents
  readonly directory: string
  readonly formats: readonly string[]
}

/** Wait before a failed write is retried. */
const RETRY_MS = 15_000
/** Longest sleep: nothing is to be done without a change. */
const IDLE_MS = 3_600_000

/** Keeps the bundle of every trust domain in files; writes only what is public. */
export class BundleFiles {
  readonly #alarm: Alarm
  /** The texts that this process has written, by file name. */
  readonly #written = new Map<string, string>()
  #of: Pick<Snapshot, 'bundles' | 'jwtKeys'> | null = null

  constructor(private readonly options: BundleFilesOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  /** Writes at the start and after each change, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, directory, events } = this.options
    using _ = store.observe(() => this.#alarm.ring())
    while (!signal.aborted) {
      let pauseMs = IDLE_MS
      try {
        if (await this.#write()) events.written(directory)
      } catch (error) {
        if (!(error instanceof AgentError)) throw error
        events.failed(directory, error)
        pauseMs = RETRY_MS
      }
      await this.#alarm.sleep(pauseMs, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error
      })
    }
  }

  /** False if nothing has changed, or nothing is known yet, so that files of an earlier run stay. */
  async #write(): Promise<boolean> {
    const { store, files, directory, formats } = this.options
    const { bundles, jwtKeys } = store.current
    if (bundles.size === 0 || (this.#of?.bundles === bundles && this.#of.jwtKeys === jwtKeys)) return false
    const texts = bundleTexts(bundles, jwtKeys, formats)
    await files.makeDirectory(directory, 0o755)
    for (const [name, text] of texts) {
      if (this.#written.get(name) === text) continue
      await files.writeAtomically(join(directory, name), Buffer.from(text), 0o644)
      this.#written.set(name, text)
    }
    for (const name of [...this.#written.keys()].filter((one) => !texts.has(one))) {
      await files.remove(join(directory, name))
      this.#written.delete(name)
    }
    this.#of = { bundles, jwtKeys }
    return true
  }
}
