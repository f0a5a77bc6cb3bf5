import { closeSync } from 'node:fs'
import type { Libc } from './koffi-libc.js'

/**
 * Reports exited processes: one epoll over all pidfds, polled by one timer that runs only while something is watched and
 * never keeps the agent running. A poll costs about a microsecond, independent of the number of processes.
 */
export class ProcessExits implements Disposable {
  readonly #watches = new Map<number, Set<() => void>>()
  #epoll = -1
  #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly libc: Libc,
    private readonly everyMs: number,
  ) {}

  /** `ended` is called once, from a timer, also if the process has already exited. */
  watch(pidfd: number, ended: () => void): Disposable {
    let watchers = this.#watches.get(pidfd)
    if (!watchers) {
      if (this.#epoll === -1) this.#epoll = this.libc.epollCreate()
      this.libc.epollAdd(this.#epoll, pidfd)
      watchers = new Set()
      this.#watches.set(pidfd, watchers)
    }
    // A function of its own, so that the same callback may be passed twice.
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

  /** Call it before the pidfd is closed, because its number may be reused. */
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
    // When a node is drained, more processes may have exited than one call returns; reported ones are not returned again.
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
