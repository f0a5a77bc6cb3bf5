import type { CallerEvents } from '../../agent/observability/caller-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { OpenExecutable } from '../../agent/ports/kernel.js'
import { type DigestThread, type StartThread, workerThread } from './digest-thread.js'
import type { DigestAnswer, DigestRequest } from './digest-worker.js'
import { Places } from './places.js'

/** `absent`: it has no digest, and why. `unknown`: nobody can say now; ask again later. */
export type Digest =
  | { readonly kind: 'digest'; readonly sha256: string }
  | { readonly kind: 'absent'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string }

export interface DigestsOptions {
  readonly clock: Clock
  readonly events: CallerEvents
  /** Executables larger than this have no digest; 0: none has, and no thread is started. */
  readonly maxBytes: number
  /** A thread that has not moved on between two looks at it hangs. Milliseconds between looks; default 500. */
  readonly stallMs?: number
  readonly start?: StartThread
}

const STALL_MS = 500
const MAX_ABANDONED = 4

type Program = Pick<OpenExecutable, 'id' | 'file' | 'hold'>

interface Job {
  readonly subject: string
  readonly request: DigestRequest
  readonly program: Program
  /** Keeps the program open until the thread does not come back to it. */
  readonly hold: Disposable
  readonly settle: (digest: Digest) => void
  /** The thread has it. */
  taken: boolean
  /** Somebody waits for it. */
  wanted: boolean
  /** The thread was told to let go of it, and has not said that it has. */
  leaving: boolean
}

interface Thread {
  readonly thread: DigestThread
  readonly jobs: Map<number, Job>
  steps: number
}

/**
 * SHA-256 of executables, read in a thread of its own: opening or reading a file may hang for ever (a dead network or
 * FUSE file system), and neither the event loop nor its four file threads must. A thread that hangs is abandoned and
 * replaced, and its device left alone until it is back; at most four are abandoned. Sixteen files are open at a time,
 * shared evenly among subjects: containers, and the users of what runs outside of them.
 */
export class ExecutableDigests implements Disposable {
  /** Threads that hang, each with the device on which it does. */
  readonly #abandoned = new Map<Thread, bigint>()
  /** All that were started and have not ended. */
  readonly #threads = new Set<Thread>()
  readonly #places = new Places<Job>(() => this.#current?.jobs.values() ?? [])
  readonly #stallMs: number
  #current: Thread | undefined
  #timer: Disposable | undefined
  #lastId = 0
  /** Whether the thread that was started last could be. */
  #startable = true

  constructor(private readonly options: DigestsOptions) {
    this.#stallMs = options.stallMs ?? STALL_MS
  }

  /** Threads that hang in a system call. */
  get stuck(): number {
    return this.#abandoned.size
  }

  /** Threads that live. While one of them hangs, Node cannot end the process in the ordinary way. */
  get threads(): number {
    return this.#threads.size
  }

  /**
   * The digest of a program, which is held open for as long as the thread needs it. Never rejects; `unknown` when the
   * signal aborts first. One file of each subject is read on then, if nobody else wants its place, so that the next one
   * who asks finds it done.
   */
  async digest(program: Program, subject: string, signal: AbortSignal): Promise<Digest> {
    if (this.options.maxBytes === 0) return { kind: 'absent', reason: 'digests are switched off' }
    if (signal.aborted) return unknown('no time left')
    return new Promise((resolve) => {
      const giveUp = (): void => {
        job.settle(unknown('reading it takes too long'))
        this.#givenUp(job)
      }
      const settle = (digest: Digest): void => {
        signal.removeEventListener('abort', giveUp)
        job.wanted = false
        letGo(job)
        resolve(digest)
      }
      const request = { id: ++this.#lastId, path: program.file, subject }
      const job: Job = {
        subject,
        request,
        program,
        hold: program.hold(),
        settle,
        taken: false,
        wanted: true,
        leaving: false,
      }
      signal.addEventListener('abort', giveUp, { once: true })
      this.#places.waiting.add(job)
      this.#begin()
    })
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    for (const job of this.#places.waiting.drain()) job.settle(unknown('the agent is stopping'))
    for (const { thread, jobs } of [...(this.#current ? [this.#current] : []), ...this.#abandoned.keys()]) {
      for (const job of jobs.values()) {
        job.taken = false
        job.settle(unknown('the agent is stopping'))
      }
      jobs.clear()
      thread.terminate()
    }
    this.#current = undefined
  }

  /** Gives free places to those who wait, and sees to it that there will be one for who may not be kept waiting. */
  #begin(): void {
    for (let job = this.#places.next(); job; job = this.#places.next()) {
      const hopeless = this.#hopeless(job)
      if (hopeless) job.settle(hopeless)
      else this.#submit(job)
    }
    const displaced = this.#places.displaced()
    if (displaced) this.#drop(displaced)
  }

  #hopeless({ program }: Job): Digest | null {
    if (this.#isStuck(program.id.device)) return unknown('its file system does not answer')
    const exhausted = !this.#current && this.#abandoned.size >= MAX_ABANDONED
    return exhausted ? unknown('too many file systems do not answer') : null
  }

  #givenUp(job: Job): void {
    if (this.#places.waiting.delete(job) || !this.#current?.jobs.has(job.request.id)) return
    for (const idle of this.#places.idle(job.subject)) this.#drop(idle)
    this.#begin()
  }

  #drop(job: Job): void {
    job.leaving = true
    this.#current?.thread.post({ drop: job.request.id })
  }

  #submit(job: Job): void {
    this.#current ??= this.#startThread()
    if (!this.#current) {
      for (const one of [job, ...this.#places.waiting.drain()]) one.settle(unknown('no thread can be started'))
      return
    }
    job.taken = true
    this.#current.jobs.set(job.request.id, job)
    this.#current.thread.post(job.request)
    this.#lookLater()
  }

  #lookLater(): void {
    this.#timer ??= this.options.clock.after(this.#stallMs, () => this.#watch())
  }

  /** None when the system has no room for one; that must not end the agent, nor be said at each request. */
  #startThread(): Thread | undefined {
    const start = this.options.start ?? workerThread(this.options.maxBytes)
    try {
      const thread: Thread = {
        thread: start(
          (answer) => this.#answered(thread, answer),
          (error) => this.#died(thread, error),
        ),
        jobs: new Map(),
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
    if (this.#abandoned.has(thread)) this.#cameBack(thread)
    const job = thread.jobs.get(answer.id)
    if (answer.kind === 'reading') {
      if (job && this.#places.hasHadItsTurn(job)) this.#drop(job)
      return
    }
    thread.jobs.delete(answer.id)
    if (job) job.taken = false
    if (job && answer.kind !== 'dropped') job.settle(digestOf(answer, job.program))
    else if (job) this.#waitAgain(job)
    this.#begin()
    if (thread.jobs.size === 0 && thread === this.#current) this.#rest()
  }

  /** While something is asked for: has the thread done a step since the last look? */
  #watch(): void {
    this.#timer = undefined
    const thread = this.#current
    if (!thread || thread.jobs.size === 0) return
    const { request, steps } = thread.thread.progress()
    const stuck = thread.jobs.get(request)
    if (stuck && steps === thread.steps) this.#abandon(thread, stuck)
    thread.steps = steps
    if (this.#current?.jobs.size) this.#lookLater()
  }

  #abandon(thread: Thread, stuck: Job): void {
    const { device } = stuck.program.id
    this.#current = undefined
    this.#abandoned.set(thread, device)
    this.options.events.digestStuck(device.toString(), this.#abandoned.size)
    const others = [...thread.jobs.values()].filter((job) => job !== stuck)
    thread.jobs.clear()
    stuck.taken = false
    stuck.settle(unknown('its file system does not answer'))
    for (const job of others) this.#waitAgain(job)
    this.#begin()
  }

  #waitAgain(job: Job): void {
    job.leaving = false
    job.taken = false
    if (job.wanted) this.#places.waiting.add(job)
    else letGo(job)
  }

  /** It hung, and now it does not any more: its device may be asked again. Nothing else may go to a used-up thread. */
  #cameBack(thread: Thread): void {
    this.#abandoned.delete(thread)
    thread.thread.terminate()
    if (this.#abandoned.size === 0) this.options.events.digestWorks()
  }

  #died(thread: Thread, error: unknown): void {
    this.#threads.delete(thread)
    this.#abandoned.delete(thread)
    if (thread === this.#current) {
      this.#current = undefined
      this.options.events.digestThreadDied(error)
    }
    for (const job of thread.jobs.values()) {
      job.taken = false
      job.settle(unknown('the thread that read it failed'))
    }
    thread.jobs.clear()
    this.#begin()
  }

  #isStuck(device: bigint): boolean {
    for (const stuck of this.#abandoned.values()) if (stuck === device) return true
    return false
  }

  #rest(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    if (this.#current) this.#current.steps = -1
  }
}

/** Closes the program once nobody waits for it and the thread does not read it either. */
function letGo({ hold, wanted, taken }: Job): void {
  if (!wanted && !taken) hold[Symbol.dispose]()
}

function digestOf(answer: Exclude<DigestAnswer, { kind: 'dropped' | 'reading' }>, { id }: Program): Digest {
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
