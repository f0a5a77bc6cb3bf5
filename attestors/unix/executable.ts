import type { CallerEvents } from '../../agent/observability/caller-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { OpenExecutable } from '../../agent/ports/kernel.js'
import { type DigestThread, type StartThread, workerThread } from './digest-thread.js'
import type { DigestAnswer } from './digest-worker.js'

/** `absent`: it has no digest. `unknown`: it is not known now; ask again later. */
export type Digest =
  | { readonly kind: 'digest'; readonly sha256: string }
  | { readonly kind: 'absent'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string }

export interface DigestsOptions {
  readonly clock: Clock
  readonly events: CallerEvents
  /** Executables larger than this have no digest; 0: none has, and no thread is started. */
  readonly maxBytes: number
  /** A thread without progress between two checks hangs. Milliseconds between checks; default 500. */
  readonly stallMs?: number
  readonly start?: StartThread
}

const STALL_MS = 500
/** Limit of replaced threads that hang: in all, and for one subject. */
const MAX_ABANDONED = 4
const MAX_ABANDONED_OF_ONE = 2
/** Pieces of 256 KiB per order: while others wait, and while none do. */
const PIECES_OF_TURN = 4
const PIECES_ALONE = 64

type Program = Pick<OpenExecutable, 'id' | 'file' | 'hold'>

interface DigestJob {
  readonly id: number
  readonly subject: string
  readonly program: Program
  /** Keeps the program open until no caller waits for it and no thread reads it. */
  readonly hold: Disposable
  readonly settle: (digest: Digest) => void
  /** The version of the partially read file. */
  key: string | null
}

interface Thread {
  readonly thread: DigestThread
  /** The job that it reads for. */
  job: DigestJob | null
  /** At the last check. */
  steps: number
}

/**
 * SHA-256 of executables, read in a thread, because opening or reading a file may hang for ever (a dead network or FUSE
 * file system) and must block neither the event loop nor its four file threads. Subjects, and the programs of one subject,
 * are served round-robin by a mebibyte, so that a small program does not wait for all of a large one. A thread that hangs
 * is abandoned and replaced, and its device is not read until the thread is back (decision 0018).
 */
export class ExecutableDigests implements Disposable {
  /** Waiting jobs by subject, in the order in which they are served; includes the job being read. */
  readonly #waiting = new Map<string, DigestJob[]>()
  /** Threads that hang, each with its job. */
  readonly #abandoned = new Map<Thread, DigestJob>()
  /** All threads that have not ended. */
  readonly #threads = new Set<Thread>()
  #current: Thread | undefined
  #timer: Disposable | undefined
  #lastId = 0
  /** Whether the last thread could be started. */
  #startable = true

  constructor(private readonly options: DigestsOptions) {}

  /** Threads that hang in a system call. */
  get stuck(): number {
    return this.#abandoned.size
  }

  /** Number of live threads. While one of them hangs, Node cannot end the process in the ordinary way. */
  get threads(): number {
    return this.#threads.size
  }

  /**
   * The digest of a program, which is held open as long as a thread needs it. Never rejects; `unknown` if the signal aborts
   * first; a later call continues the read.
   */
  async digest(program: Program, subject: string, signal: AbortSignal): Promise<Digest> {
    if (this.options.maxBytes === 0) return { kind: 'absent', reason: 'digests are switched off' }
    if (signal.aborted) return unknown('no time left')
    return new Promise((resolve) => {
      const giveUp = () => this.#settle(job, unknown('reading it takes too long'))
      const settle = (digest: Digest): void => {
        signal.removeEventListener('abort', giveUp)
        resolve(digest)
      }
      const job: DigestJob = { id: ++this.#lastId, subject, program, hold: program.hold(), settle, key: null }
      signal.addEventListener('abort', giveUp, { once: true })
      const others = this.#waiting.get(subject)
      if (others) others.push(job)
      else this.#waiting.set(subject, [job])
      this.#next()
    })
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    this.#settleAll(unknown('the agent is stopping'))
    for (const thread of this.#threads) {
      thread.job?.hold[Symbol.dispose]()
      thread.job = null
      thread.thread.terminate()
    }
    this.#current = undefined
  }

  /** Orders the thread, if it is idle, to continue for the next subject. */
  #next(): void {
    while (!this.#current?.job) {
      const [subject, [job] = []] = this.#waiting.entries().next().value ?? []
      if (!job || subject === undefined) break
      const hopeless = this.#hopeless(job)
      if (hopeless) {
        this.#settle(job, hopeless)
        continue
      }
      this.#current ??= this.#startThread()
      if (!this.#current) {
        this.#settleAll(unknown('no thread can be started'))
        break
      }
      const alone = this.#waiting.size === 1 && this.#waiting.get(subject)?.length === 1
      const pieces = alone ? PIECES_ALONE : PIECES_OF_TURN
      this.#current.job = job
      this.#current.thread.post({ id: job.id, path: job.program.file, key: job.key, pieces })
      this.#timer ??= this.options.clock.after(this.options.stallMs ?? STALL_MS, () => this.#watch())
    }
    if (this.#current?.job) return
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
  }

  #hopeless({ program, subject }: DigestJob): Digest | null {
    const stuck = [...this.#abandoned.values()]
    if (stuck.some((job) => job.program.id.device === program.id.device)) {
      return unknown('its file system does not answer')
    }
    if (stuck.filter((job) => job.subject === subject).length >= MAX_ABANDONED_OF_ONE) {
      return unknown('other file systems of this container or user do not answer')
    }
    return !this.#current && stuck.length >= MAX_ABANDONED ? unknown('too many file systems do not answer') : null
  }

  /** Resolves one job. */
  #settle(job: DigestJob, digest: Digest): void {
    const others = this.#waiting.get(job.subject)?.filter((one) => one !== job) ?? []
    if (others.length > 0) this.#waiting.set(job.subject, others)
    else this.#waiting.delete(job.subject)
    job.settle(digest)
    if (![...this.#threads].some((thread) => thread.job === job)) job.hold[Symbol.dispose]()
  }

  #settleAll(digest: Digest): void {
    for (const job of [...this.#waiting.values()].flat()) this.#settle(job, digest)
  }

  /** Undefined if the system cannot start one, which must not end the agent or be logged at each request. */
  #startThread(): Thread | undefined {
    const start = this.options.start ?? workerThread(this.options.maxBytes)
    try {
      const thread: Thread = {
        thread: start(
          (answer) => this.#answered(thread, answer),
          (error) => this.#died(thread, error),
        ),
        job: null,
        steps: -1,
      }
      this.#threads.add(thread)
      this.#startable = true
      return thread
    } catch (error) {
      if (this.#startable) this.options.events.digestThreadDied(error)
      this.#startable = false
      return undefined
    }
  }

  #answered(thread: Thread, answer: DigestAnswer): void {
    const { job } = thread
    if (job?.id !== answer.id) return
    thread.job = null
    thread.steps = -1
    const queue = this.#waiting.get(job.subject)
    const wanted = queue?.includes(job) ?? false
    if (!wanted) job.hold[Symbol.dispose]()
    if (this.#abandoned.delete(thread)) this.#cameBack(thread)
    else if (answer.kind !== 'more') this.#found(job, wanted, answer)
    else if (wanted && queue) {
      job.key = answer.key
      this.#waiting.delete(job.subject)
      this.#waiting.set(job.subject, [...queue.filter((one) => one !== job), job])
    }
    this.#next()
  }

  /** Resolves the job, and all others that wait for the same file. */
  #found(job: DigestJob, wanted: boolean, answer: Exclude<DigestAnswer, { kind: 'more' }>): void {
    const digest = digestOf(answer, job.program)
    if (wanted) this.#settle(job, digest)
    const { device, inode } = job.program.id
    if (digest.kind !== 'digest') return
    for (const other of [...this.#waiting.values()].flat()) {
      if (other.program.id.device === device && other.program.id.inode === inode) this.#settle(other, digest)
    }
  }

  /** While a file is read, checks whether the thread has made progress. */
  #watch(): void {
    this.#timer = undefined
    const thread = this.#current
    if (!thread?.job) return
    const { request, steps } = thread.thread.progress()
    if (request === thread.job.id && steps === thread.steps) this.#abandon(thread, thread.job)
    thread.steps = steps
    if (this.#current?.job)
      this.#timer ??= this.options.clock.after(this.options.stallMs ?? STALL_MS, () => this.#watch())
  }

  #abandon(thread: Thread, job: DigestJob): void {
    this.#current = undefined
    this.#abandoned.set(thread, job)
    this.options.events.digestStuck(job.program.id.device.toString(), this.#abandoned.size)
    if (this.#waiting.get(job.subject)?.includes(job)) this.#settle(job, unknown('its file system does not answer'))
    this.#next()
  }

  /** An abandoned thread no longer hangs: its device may be read again, and the thread is ended. */
  #cameBack(thread: Thread): void {
    thread.thread.terminate()
    if (this.#abandoned.size === 0) this.options.events.digestWorks()
  }

  #died(thread: Thread, error: unknown): void {
    this.#threads.delete(thread)
    this.#abandoned.delete(thread)
    const { job } = thread
    thread.job = null
    if (thread === this.#current) {
      this.#current = undefined
      this.options.events.digestThreadDied(error)
    }
    if (job && this.#waiting.get(job.subject)?.includes(job))
      this.#settle(job, unknown('the thread that read it failed'))
    else job?.hold[Symbol.dispose]()
    this.#next()
  }
}

function digestOf(answer: Exclude<DigestAnswer, { kind: 'more' }>, { id }: Program): Digest {
  switch (answer.kind) {
    case 'digest':
      if (answer.device === id.device && answer.inode === id.inode) return { kind: 'digest', sha256: answer.sha256 }
      return { kind: 'absent', reason: 'another file was opened in its place' }
    case 'too_large':
      return { kind: 'absent', reason: `${answer.size} bytes are more than the limit` }
    case 'unreadable':
      return { kind: 'absent', reason: `unreadable (${answer.reason})` }
  }
}

function unknown(reason: string): Digest {
  return { kind: 'unknown', reason }
}
