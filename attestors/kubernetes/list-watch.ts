import { AgentError } from '../../agent/errors.js'
import { withDeadline } from '../../agent/lib/deadline.js'
import { sleepUnlessAborted } from '../../agent/lib/sleep.js'
import { CONFIRM_MS } from '../shared/second-look.js'
import { statusOf } from './api-errors.js'
import { answerWithin } from './deadline.js'
import { listPods, listPodsForSure } from './list.js'
import { Polling } from './polling.js'
import { repeat } from './repeat.js'
import type { PodSource, PodSourceOptions } from './source.js'
import { watchPods } from './watch.js'

const LIST_DEADLINE = answerWithin(60_000)
const POLL_INTERVAL_MS = 5_000
const POLL_SPACING_MS = 1_000
/**
 * Waits before a refused watch is tried again: after the first refusal, the second, and any further one. A server that has
 * just started may refuse a watch that it allows a moment later.
 */
const FORBIDDEN_FOR_MS = [5_000, 30_000, 10 * 60_000]
/** Watches that end sooner are not opened again at once. */
const SHORT_WATCH_MS = 1_000
/**
 * If a caller's pod does not appear within RELIST_AFTER_MS, the pods are listed again, at most once per
 * RELIST_SPACING_MS.
 */
const RELIST_AFTER_MS = 1_000
const RELIST_SPACING_MS = 10_000
/** Wait before the next list if one lacks the agent's own pod; long, because the node's name may be wrong. */
const LACKS_OWN_MS = 60_000

/**
 * The pods of this node from the API server: listed once, then watched. A new watch resumes at the last resource version;
 * if the server no longer has it (410), the pods are listed again. If watching is forbidden, the list is polled.
 */
export class ListWatch implements PodSource {
  readonly #polling: Polling
  /** The resource version that the watch resumes from; null before the first list. */
  #version: string | null = null
  #listedAt = Number.NEGATIVE_INFINITY
  #listNeeded = true
  #forbiddenUntil = Number.NEGATIVE_INFINITY
  /** Consecutive refusals to watch. */
  #refusals = 0
  /** Ends the open watch. */
  #interrupt: (() => void) | null = null
  #relist: Disposable | undefined
  #confirm: Disposable | undefined

  constructor(private readonly options: PodSourceOptions) {
    const { clock, random, pods } = options
    const pace = { intervalMs: POLL_INTERVAL_MS, spacingMs: POLL_SPACING_MS, watched: () => pods.watched }
    this.#polling = new Polling({ clock, random, ...pace })
  }

  /** An open watch delivers changes by itself, but its connection may be dead without an error. */
  want(): void {
    if (!this.#interrupt) {
      this.#polling.want()
      return
    }
    if (this.#relist) return
    const { clock, pods } = this.options
    const ms = Math.max(RELIST_AFTER_MS, this.#listedAt + RELIST_SPACING_MS - clock.monotonic())
    this.#relist = clock.after(ms, () => {
      this.#relist = undefined
      if (pods.waiting > 0) this.#interrupt?.()
    })
  }

  async current(signal: AbortSignal): Promise<void> {
    if (this.#polls) await this.#polling.current(signal)
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, events, pods } = this.options
    const failed = (error: AgentError) => {
      this.#polling.ended('failed')
      pods.fellBehind('the Kubernetes API does not answer')
      events.failed(this.#listNeeded ? 'list' : 'watch', error)
    }
    await repeat({ clock, random, failed }, signal, async () => {
      if (this.#listNeeded) await this.#list(signal)
      if (this.#polls) await this.#poll(signal)
      else await this.#watch(signal)
    })
    this.#relist?.[Symbol.dispose]()
    this.#confirm?.[Symbol.dispose]()
  }

  get #polls(): boolean {
    return this.options.clock.monotonic() < this.#forbiddenUntil
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { api, pods, nodeName, clock, events } = this.options
    this.#polling.begins()
    this.#listedAt = clock.monotonic()
    const list = await withDeadline(clock, LIST_DEADLINE, signal, async (limited) => {
      const first = await listPods(api, nodeName, this.#version, limited)
      // An empty list would withdraw everything, so it is requested once more.
      return first.pods.length === 0 && pods.size > 0 ? await listPodsForSure(api, nodeName, limited) : first
    })
    pods.replace(list.pods, this.#listedAt)
    this.#version = list.version
    this.#listNeeded = false
    this.#polling.ended('listed')
    events.listed('list', list.pods.length, list.unreadable)
    if (!pods.lacksOwn) events.noPods(nodeName, list.pods.length)
    events.ownPod(nodeName, !pods.lacksOwn)
    this.#confirm?.[Symbol.dispose]()
    this.#confirm = undefined
    if (pods.lacksOwn) this.#listAgainAfter(LACKS_OWN_MS)
    else if (pods.unconfirmed) this.#listAgainAfter(CONFIRM_MS)
  }

  /** Does nothing while lists are polled. */
  #listAgainAfter(ms: number): void {
    this.#confirm = this.options.clock.after(ms, () => this.#interrupt?.())
  }

  async #poll(signal: AbortSignal): Promise<void> {
    await this.#polling.pause(signal, this.#forbiddenUntil)
    this.#listNeeded = true
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { api, pods, nodeName, clock, random, events } = this.options
    const began = clock.monotonic()
    try {
      const end = await watchPods(
        { api, nodeName, clock, random, version: this.#version ?? '', onInterrupt: (end) => (this.#interrupt = end) },
        {
          opened: () => {
            pods.caughtUp()
            this.#refusals = 0
            events.watching()
          },
          changed: (pod) => pods.put(pod),
          deleted: (uid) => pods.remove(uid),
          reached: (version) => (this.#version = version),
          unreadable: () => events.unreadable(1),
        },
        signal,
      )
      if (end === 'expired' || end === 'interrupted') this.#listNeeded = true
      if (signal.aborted) return
      pods.fellBehind('the watch of Kubernetes is being opened again')
      events.watchEnded(end)
    } catch (error) {
      if (statusOf(error) !== 403 || !(error instanceof AgentError)) {
        // An error of the server may be about this version; a failed connection is not.
        this.#listNeeded = statusOf(error) !== null
        throw error
      }
      this.#listNeeded = true
      this.#forbiddenUntil = clock.monotonic() + (FORBIDDEN_FOR_MS[this.#refusals++] ?? FORBIDDEN_FOR_MS.at(-1) ?? 0)
      events.watchForbidden(error, this.#refusals > 1)
      return
    } finally {
      this.#interrupt = null
    }
    if (clock.monotonic() - began < SHORT_WATCH_MS)
      await sleepUnlessAborted(clock, SHORT_WATCH_MS * random.fraction(), signal)
  }
}
