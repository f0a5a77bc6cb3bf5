import type { ServerReachability } from '../icp/server-reachability.js'
import { anchorFileTrouble } from '../identity/anchor-file.js'
import type { FileEvents } from '../observability/file-events.js'
import type { Log } from '../observability/log.js'
import type { Recurring } from '../observability/once.js'
import { RereadFile } from '../observability/reread-file.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'

const MAX_BYTES = 1_048_576
const LOOK_MS = 60_000
/** While the server cannot be reached, the missing authority may be the reason. */
const LOOK_SOON_MS = 2_000

/**
 * The PEM text of `icp_service.trust_bundle_path`, read again from time to time: a private CA is replaced, or put in
 * place after the agent has started. Only a file of whole certificates replaces what is trusted.
 */
export class ExtraRoots {
  #current: readonly string[] = []
  readonly #file: { readonly reread: RereadFile; readonly said: Recurring } | null

  constructor(
    private readonly options: {
      readonly path: string | null
      readonly files: Pick<Files, 'read'>
      readonly fileEvents: FileEvents
      readonly clock: Clock
      readonly log: Log
    },
  ) {
    const { path, files, fileEvents } = options
    if (path === null) {
      this.#file = null
      return
    }
    const said = fileEvents.file(path, 'icp_service.trust_bundle_path')
    const judge = (text: string) => anchorFileTrouble(text, path)?.problem ?? null
    this.#file = { said, reread: new RereadFile({ path, maxBytes: MAX_BYTES, files, judge, said }) }
  }

  /** The same array as long as the file stays the same. */
  get current(): readonly string[] {
    return this.#current
  }

  /** True when it changed. */
  async look(): Promise<boolean> {
    const text = await this.#read()
    if (text === null || text === this.#current[0]) return false
    this.#current = [text]
    return true
  }

  async #read(): Promise<string | null> {
    try {
      return (await this.#file?.reread.read()) ?? null
    } catch (error) {
      this.#file?.said.failed(error)
      return null
    }
  }

  /** Looks until the signal aborts; soon again while there is trouble with the server. */
  async run(reachability: ServerReachability, signal: AbortSignal): Promise<void> {
    const { path, clock, log } = this.options
    if (path === null) return
    for (;;) {
      const trouble = reachability.reachedAt === null || reachability.trouble !== null
      await clock.sleep(trouble ? LOOK_SOON_MS : LOOK_MS, signal)
      if (await this.look()) log.info('The trust bundle of the ICP server changed', { path })
    }
  }
}
