import type { Clock } from '../ports/clock.js'

/** How long jobs run before yielding to sockets and timers. */
const TURN_MS = 10

type QueuedWork = () => void

/**
 * Runs jobs of subjects fairly: at once while there are few, else round-robin over the subjects, some milliseconds before
 * yielding to the event loop. A subject that floods delays only itself.
 */
export class FairQueue {
  /** The first subject is next. */
  readonly #waiting = new Map<string, QueuedWork[]>()
  #spentMs = 0
  #begun = false

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    /** `burst`: limit of waiting jobs of one subject. */
    private readonly limit: { readonly burst: number },
    private readonly nextTurn: (run: QueuedWork) => void = setImmediate,
  ) {}

  /** Runs the job now or later. False: too many jobs of the subject wait, and this one is dropped. */
  take(subject: string, job: QueuedWork): boolean {
    this.#begin()
    if (this.#waiting.size === 0 && this.#spentMs < TURN_MS) {
      this.#do(job)
      return true
    }
    const jobs = this.#waiting.get(subject)
    if (!jobs) this.#waiting.set(subject, [job])
    else if (jobs.length >= this.limit.burst) return false
    else jobs.push(job)
    return true
  }

  /** Number of the subject's waiting jobs. */
  waiting(subject: string): number {
    return this.#waiting.get(subject)?.length ?? 0
  }

  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.nextTurn(() => this.#turn())
  }

  #turn(): void {
    this.#begun = false
    this.#spentMs = 0
    try {
      while (this.#waiting.size > 0 && this.#spentMs < TURN_MS) this.#next()
    } finally {
      if (this.#waiting.size > 0) this.#begin()
    }
  }

  /** One job of the first subject, which then moves to the end. */
  #next(): void {
    const [first] = this.#waiting
    if (!first) return
    const [subject, jobs] = first
    const job = jobs.shift()
    this.#waiting.delete(subject)
    if (jobs.length > 0) this.#waiting.set(subject, jobs)
    if (job) this.#do(job)
  }

  #do(job: QueuedWork): void {
    const began = this.clock.monotonic()
    try {
      job()
    } finally {
      this.#spentMs += this.clock.monotonic() - began
    }
  }
}
