import { type Backoff, delay } from '../lib/backoff.js'
import type { NodeEvents } from '../observability/node-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { keep } from '../rotation/keep.js'
import type { AgentSvidFile } from './file.js'
import type { Trouble } from './state.js'

interface UnsavedOptions {
  readonly clock: Clock
  readonly random: Random
  readonly file: Pick<AgentSvidFile, 'unsaved' | 'noted' | 'flush'>
  readonly backoff: Backoff
  readonly events: Pick<NodeEvents, 'unsaved' | 'saved'>
}

/** An identity that is in force and that the disk has not taken: it is said once, and written as soon as that works. */
export class UnsavedSvid {
  #trouble: Trouble | null = null

  constructor(private readonly options: UnsavedOptions) {}

  get trouble(): Trouble | null {
    return this.#trouble
  }

  /** Takes note of how it stands, after whatever may have written. */
  look(): void {
    const { file, events, clock } = this.options
    const error = file.unsaved
    if (error) events.unsaved(error)
    else events.saved()
    this.#trouble = error && { error, since: this.#trouble?.since ?? clock.now() }
  }

  /** Writes what is unsaved or was noted, again and again at growing distances, until the signal aborts; tells after each try. */
  async run(signal: AbortSignal, onChange: (wake: () => void) => Disposable, tried: () => void): Promise<void> {
    const { clock, random, file, backoff } = this.options
    await keep({
      clock,
      signal,
      onChange,
      nextAt: () => (this.#trouble || file.noted ? clock.now() : null),
      run: async () => {
        try {
          await file.flush()
        } finally {
          this.look()
          tried()
        }
      },
      retryAfterMs: (_error, failures) => delay(failures, backoff, random.fraction()),
    })
  }
}
