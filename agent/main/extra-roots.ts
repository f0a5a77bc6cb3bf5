import type { ServerReachability } from '../icp/server-reachability.js'
import { anchorFileTrouble } from '../identity/anchor-file.js'
import type { FileEvents } from '../observability/file-events.js'
import type { Log } from '../observability/log.js'
import type { Recurring } from '../observability/once.js'
import { RereadFile } from '../observability/reread-file.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Reloadable } from './reload.js'

const MAX_BYTES = 1_048_576
const LOOK_MS = 60_000
/** Shorter poll interval while the server cannot be reached, perhaps because of a missing authority. */
const LOOK_SOON_MS = 2_000

interface TrustFile {
  readonly path: string
  readonly reread: RereadFile
  readonly recurring: Recurring
  readonly reports: Disposable
}

/**
 * The PEM text of `icp_service.trust_bundle_path`, reread at intervals, because a private CA may be replaced or installed
 * after the agent has started. Only a file of complete certificates replaces the trusted ones.
 */
export class ExtraRoots {
  #current: readonly string[] = []
  #file: TrustFile | null

  constructor(
    private readonly options: {
      readonly path: string | null
      readonly files: Pick<Files, 'read'>
      readonly fileEvents: Pick<FileEvents, 'scope'>
      readonly clock: Clock
      readonly log: Log
    },
  ) {
    this.#file = this.#open(options.path)
  }

  #open(path: string | null): TrustFile | null {
    if (path === null) return null
    const { files, fileEvents } = this.options
    const reports = fileEvents.scope()
    const recurring = reports.file(path, 'icp_service.trust_bundle_path')
    const problemOf = (text: string) => anchorFileTrouble(text, path)?.problem ?? null
    return {
      path,
      recurring,
      reports,
      reread: new RereadFile({ path, maxBytes: MAX_BYTES, files, problemOf, recurring }),
    }
  }

  /** Changes to another file, or none. While the other one is missing, the trusted certificates stay. */
  readonly reloadable: Reloadable = {
    setting: 'icp_service.trust_bundle_path',
    prepare: async ({ icpService: { trustBundlePath } }) => {
      if (trustBundlePath === (this.#file?.path ?? null)) return null
      const made = this.#open(trustBundlePath)
      const text = (await made?.reread.read()) ?? null
      let unused = made
      return {
        commit: () => {
          unused = this.#file
          unused?.reports[Symbol.dispose]()
          this.#file = made
          if (made === null) this.#current = []
          else if (text !== null && text !== this.#current[0]) this.#current = [text]
        },
        [Symbol.dispose]: () => unused?.reports[Symbol.dispose](),
      }
    },
  }

  /** The same array as long as the file is unchanged. */
  get current(): readonly string[] {
    return this.#current
  }

  /** True if it changed. */
  async look(): Promise<boolean> {
    const file = this.#file
    const text = await this.#read()
    if (text === null || text === this.#current[0] || file !== this.#file) return false
    this.#current = [text]
    return true
  }

  async #read(): Promise<string | null> {
    try {
      return (await this.#file?.reread.read()) ?? null
    } catch (error) {
      this.#file?.recurring.failed(error)
      return null
    }
  }

  /** Polls until the signal aborts; more often while the server cannot be reached. */
  async run(reachability: ServerReachability, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.options
    for (;;) {
      const trouble = reachability.reachedAt === null || reachability.trouble !== null
      await clock.sleep(trouble ? LOOK_SOON_MS : LOOK_MS, signal)
      const path = this.#file?.path
      if ((await this.look()) && path !== undefined) log.info('The trust bundle of the ICP server changed', { path })
    }
  }
}
