import { withDeadline } from '../../agent/lib/deadline.js'
import { answerWithin } from './deadline.js'
import { onePage } from './list.js'
import { Polling } from './polling.js'
import { repeat } from './repeat.js'
import type { PodSource, PodSourceOptions } from './source.js'

const INTERVAL_MS = 5_000
const SPACING_MS = 500
const LIST_DEADLINE = answerWithin(15_000)

/**
 * The pods of this node from its kubelet (`GET /pods`). The kubelet sends no changes, so it is polled every 5 s while there
 * are subscribers, and at once, but at most twice a second, when an unknown container calls. One answer serves all
 * waiting callers.
 */
export class Kubelet implements PodSource {
  readonly #polling: Polling

  constructor(private readonly options: PodSourceOptions) {
    const { clock, random, pods } = options
    const pace = { intervalMs: INTERVAL_MS, spacingMs: SPACING_MS, watched: () => pods.watched }
    this.#polling = new Polling({ clock, random, ...pace })
  }

  want(): void {
    this.#polling.want()
  }

  current(signal: AbortSignal): Promise<void> {
    return this.#polling.current(signal)
  }

  async run(signal: AbortSignal): Promise<void> {
    const { api, pods, nodeName, clock, random, events } = this.options
    const failed = (error: Error) => {
      this.#polling.ended('failed')
      pods.fellBehind('the kubelet does not answer')
      events.failed('kubelet', error)
    }
    await repeat({ clock, random, failed }, signal, async () => {
      this.#polling.begins()
      const askedAt = clock.monotonic()
      const list = await withDeadline(clock, LIST_DEADLINE, signal, (limited) => onePage(api, '/pods', limited))
      pods.replace(list.pods, askedAt)
      events.listed('kubelet', list.pods.length, list.unreadable)
      events.ownPod(nodeName, !pods.lacksOwn)
      this.#polling.ended('listed')
      await this.#polling.pause(signal)
    })
  }
}
