import type { Clock } from '../ports/clock.js'

/** Work of one turn of the event loop; then sockets, timers and answers have theirs. */
const TURN_MS = 10

type QueuedWork = () => void

/**
 * Work on behalf of subjects, done in fair turns: at once while there is little, else one job of each subject after the
 * other, some milliseconds in a turn of the event loop. A subject that floods waits for itself.
 */
export class FairQueue {
  /** The first is the next. */
  readonly #waiting = new Map<string, QueuedWork[]>()
  #spentMs = 0
  #begun = false

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    /** `burst`: jobs of one subject that may wait. */
    private readonly limit: { readonly burst: number },
    private readonly nextTurn: (run: QueuedWork) => void = setImmediate,
  ) {}

  /** Does the job now or in its turn. False: too many of the subject wait, and this one is not done. */
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

  /** Jobs of the subject that wait. */
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

  /** One job of the subject whose turn it is, which then goes to the end. */
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
