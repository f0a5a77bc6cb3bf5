import type { Caller } from '../attestation/caller.js'
import type { AgentError } from '../errors.js'
import { Feed, type FeedOptions } from './feed.js'
import type { Workload } from './workload.js'

type Close = (reason: 'stalled' | 'stopping') => void

/** One connection: its feed, or why its caller is nobody. */
export type Session =
  | { readonly kind: 'known'; readonly feed: Feed; readonly close: Close }
  | { readonly kind: 'unknown'; readonly error: AgentError; readonly close: Close }

/** Connections by the name under which grpc-js knows their peer. Feeds are shared by the connections of a workload. */
export class Sessions {
  readonly #open = new Map<string, Session>()
  readonly #feeds = new WeakMap<Workload, Feed>()
  readonly #waiting: (() => void)[] = []

  constructor(
    private readonly acquire: (caller: Caller) => Workload,
    private readonly options: FeedOptions,
  ) {}

  /** `close` ends the connection; the session itself ends with `closed`. */
  opened(id: string, caller: Caller | { readonly error: AgentError }, close: Close): void {
    if ('error' in caller) {
      this.#open.set(id, { kind: 'unknown', error: caller.error, close })
      return
    }
    const workload = this.acquire(caller)
    let feed = this.#feeds.get(workload)
    if (!feed) {
      feed = new Feed(workload, this.options)
      this.#feeds.set(workload, feed)
    }
    this.#open.set(id, { kind: 'known', feed, close })
  }

  closed(id: string): void {
    const session = this.#open.get(id)
    this.#open.delete(id)
    if (session?.kind === 'known') session.feed.workload.release()
    if (this.#open.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Resolves when no connection is open. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open.size === 0) resolve()
      else this.#waiting.push(resolve)
    })
  }

  /** The session of a call, by `call.getPeer()`. */
  of(peer: string): Session | undefined {
    return this.#open.get(peer)
  }

  /** Ends every connection that is still open. */
  closeAll(reason: 'stopping'): void {
    for (const { close } of [...this.#open.values()]) close(reason)
  }
}
