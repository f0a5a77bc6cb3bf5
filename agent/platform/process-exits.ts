import { closeSync } from 'node:fs'
import type { Libc } from './koffi-libc.js'

/**
 * Tells of ended processes: one epoll over all pidfds, looked at from one timer that runs only while something is
 * watched and never keeps the agent alive. A look costs about a microsecond, however many are watched.
 */
export class ProcessExits implements Disposable {
  readonly #watches = new Map<number, Set<() => void>>()
  #epoll = -1
  #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly libc: Libc,
    private readonly everyMs: number,
  ) {}

  /** `ended` is called once, from a timer, also when the process has ended already. */
  watch(pidfd: number, ended: () => void): Disposable {
    let watchers = this.#watches.get(pidfd)
    if (!watchers) {
      if (this.#epoll === -1) this.#epoll = this.libc.epollCreate()
      this.libc.epollAdd(this.#epoll, pidfd)
      watchers = new Set()
      this.#watches.set(pidfd, watchers)
    }
    // A function of its own, so that one callback may watch twice.
    const watcher = () => ended()
    watchers.add(watcher)
    this.#timer ??= setInterval(() => this.#look(), this.everyMs).unref()
    const own = watchers
    return {
      [Symbol.dispose]: () => {
        own.delete(watcher)
        if (own.size === 0 && this.#watches.get(pidfd) === own) this.forget(pidfd)
      },
    }
  }

  /** Before the pidfd is closed: its number will mean something else. */
  forget(pidfd: number): void {
    if (!this.#watches.delete(pidfd)) return
    this.libc.epollRemove(this.#epoll, pidfd)
    if (this.#watches.size === 0) this.#rest()
  }

  [Symbol.dispose](): void {
    this.#watches.clear()
    this.#rest()
    if (this.#epoll !== -1) closeSync(this.#epoll)
    this.#epoll = -1
  }

  #look(): void {
    // When a node is drained, more may have ended than one look shows; what was told is not shown again.
    for (let ready = this.libc.epollReady(this.#epoll); ready.length > 0; ready = this.libc.epollReady(this.#epoll)) {
      for (const pidfd of ready) {
        const watchers = this.#watches.get(pidfd)
        this.forget(pidfd)
        for (const ended of watchers ?? []) ended()
      }
    }
  }

  #rest(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
