import { messageOf } from '../errors.js'
import type { Contact } from '../icp/contact.js'
import type { Log } from '../observability/log.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'

const MAX_BYTES = 1_048_576
const LOOK_MS = 60_000
/** While the server cannot be reached, the missing authority may be the reason. */
const LOOK_SOON_MS = 2_000

/**
 * The PEM text of `icp_service.trust_bundle_path`, read again from time to time: a private CA is replaced, or put in
 * place after the agent has started. A file that is missing trusts nobody more; one that cannot be read changes nothing.
 */
export class ExtraRoots {
  #current: readonly string[] = []

  constructor(
    private readonly options: {
      readonly path: string | null
      readonly files: Pick<Files, 'read'>
      readonly clock: Clock
      readonly log: Log
    },
  ) {}

  /** The same array as long as the file stays the same. */
  get current(): readonly string[] {
    return this.#current
  }

  /** True when it changed. */
  async look(): Promise<boolean> {
    const { path, files, log } = this.options
    if (path === null) return false
    try {
      const text = (await files.read(path, { maxBytes: MAX_BYTES }))?.toString('utf8') ?? null
      const next = text === null ? [] : [text]
      if (next[0] === this.#current[0]) return false
      this.#current = next
      return true
    } catch (error) {
      log.debug('The trust bundle of the ICP server cannot be read now', { path, reason: messageOf(error) })
      return false
    }
  }

  /** Looks until the signal aborts; soon again while there is trouble with the server. */
  async run(contact: Contact, signal: AbortSignal): Promise<void> {
    const { path, clock, log } = this.options
    if (path === null) return
    for (;;) {
      const trouble = contact.reachedAt === null || contact.trouble !== null
      await clock.sleep(trouble ? LOOK_SOON_MS : LOOK_MS, signal)
      if (await this.look()) log.info('The trust bundle of the ICP server changed', { path })
    }
  }
}
