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
 * After so long a right to watch that was refused is tried again: after the first refusal, the second, and any other. A
 * server that has just started refuses what it allows a moment later.
 */
const FORBIDDEN_FOR_MS = [5_000, 30_000, 10 * 60_000]
/** Watches that end sooner are not opened again at once. */
const SHORT_WATCH_MS = 1_000
/**
 * If a caller's pod does not appear within RELIST_AFTER_MS the pods are listed again, once per RELIST_SPACING_MS at
 * most.
 */
const RELIST_AFTER_MS = 1_000
const RELIST_SPACING_MS = 10_000
/** A list without the agent's own pod is asked for again after so long: the name of the node may be wrong for ever. */
const LACKS_OWN_MS = 60_000

/**
 * The pods of this node at the API server: listed once, then watched. A watch that ends goes on where it was; when the
 * server no longer has that resource version (410), the pods are listed again. Where watching is forbidden the list is
 * polled.
 */
export class ListWatch implements PodSource {
  readonly #polling: Polling
  /** The version that the watch goes on from; null before the first list. */
  #version: string | null = null
  #listedAt = Number.NEGATIVE_INFINITY
  #listNeeded = true
  #forbiddenUntil = Number.NEGATIVE_INFINITY
  /** Refusals to watch, one after the other. */
  #refusals = 0
  /** Ends the watch that is open. */
  #interrupt: (() => void) | null = null
  #relist: Disposable | undefined
  #confirm: Disposable | undefined

  constructor(private readonly options: PodSourceOptions) {
    const { clock, random, pods } = options
    const pace = { intervalMs: POLL_INTERVAL_MS, spacingMs: POLL_SPACING_MS, watched: () => pods.watched }
    this.#polling = new Polling({ clock, random, ...pace })
  }

  /** A watch that is open tells by itself; but its connection may be dead without anybody having said so. */
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
      // What would withdraw everything is asked for once more before it counts.
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

  /** Where lists are polled they come anyway. */
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
        // What the server itself reports may be about this very version; a connection that failed says nothing of it.
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
