import { Bucket, type Rate } from '../lib/bucket.js'
import { putLast } from '../lib/oldest.js'
import type { Clock } from '../ports/clock.js'

/** What one subject may do while others call too. */
export interface RateLimits {
  readonly connections: Rate
  readonly calls: Rate
}

/** Which allowance is used up. */
export type Exceeded = 'rate_process' | 'rate_subject' | 'rate_new_subjects'

/** A level is contended while two of it were active within so long. */
const CONTENTION_MS = 10_000
/** A process has half of what its subject has. */
const PROCESS_SHARE = 0.5
/** All new subjects of a crowd share twice what one subject has. */
const CROWD_SHARE = 2
/** So many subjects may appear at once, one more every five seconds; those beyond are a crowd. */
const NEW_SUBJECTS: Rate = { perSecond: 0.2, burst: 64 }
const FORGET_MS = 600_000
const MAX_SUBJECTS = 4096
const MAX_PROCESSES = 1024

/** An allowance of connections and one of calls. */
class Allowance {
  readonly connections: Bucket
  readonly calls: Bucket

  constructor(limits: RateLimits, share: number, now: number) {
    this.connections = new Bucket(scaled(limits.connections, share), now)
    this.calls = new Bucket(scaled(limits.calls, share), now)
  }
}

/** Whether another one of the same level was active a moment ago. */
class Contention {
  #last: object | null = null
  #lastAt = Number.NEGATIVE_INFINITY
  #othersAt = Number.NEGATIVE_INFINITY

  /** `who` is active now; true where another was lately. */
  active(who: object, now: number): boolean {
    if (who !== this.#last) {
      this.#othersAt = this.#lastAt
      this.#last = who
    }
    this.#lastAt = now
    return now - this.#othersAt < CONTENTION_MS
  }
}

/** One process, as far as rates go. */
export interface Account {
  readonly subject: Subject
  readonly allowance: Allowance
}

export interface Subject {
  readonly name: string
  readonly allowance: Allowance
  /** It is one of a crowd: what all of the crowd share counts for it too. */
  readonly crowd: boolean
  readonly processes: Map<string, Account>
  readonly contention: Contention
  activeAt: number
}

interface RateLevel {
  readonly allowance: Allowance
  readonly binds: boolean
  readonly reason: Exceeded
}

/**
 * How often connections are opened and calls are made, by process, by subject, and by all subjects of a crowd: one user
 * may own tens of thousands of subordinate ids. A rate binds only while another one is active on the same level: one
 * that is alone takes nothing from others.
 */
export class Rates {
  /** In the order of their last connection. */
  readonly #subjects = new Map<string, Subject>()
  /** By process alone: a process over its rate is turned away before its container is looked up. */
  readonly #processes = new Map<string, Account>()
  readonly #contention = new Contention()
  readonly #newSubjects: Bucket
  readonly #crowd: Allowance

  constructor(
    private readonly limits: RateLimits,
    private readonly clock: Pick<Clock, 'monotonic'>,
  ) {
    const now = clock.monotonic()
    this.#newSubjects = new Bucket(NEW_SUBJECTS, now)
    this.#crowd = new Allowance(limits, CROWD_SHARE, now)
  }

  /** The account of a process. It may be kept for as long as a connection is open. */
  account(subject: string, process: string): Account {
    const known = this.#subject(subject)
    const account = renewed(known.processes, process, MAX_PROCESSES, () => ({
      subject: known,
      allowance: new Allowance(this.limits, PROCESS_SHARE, this.clock.monotonic()),
    }))
    putLast(this.#processes, process, account, MAX_SUBJECTS)
    return account
  }

  /** The last account of a process that was called so: another one may have its pid by now. */
  lastAccount(process: string): Account | undefined {
    return this.#processes.get(process)
  }

  /** One more connection: null, or why it is one too many; then it is not charged. */
  connect(account: Account): Exceeded | null {
    const now = this.clock.monotonic()
    const levels = this.#active(account, now)
    const exceeded = levels.find(
      ({ allowance: { connections, calls }, binds }) => (binds && !connections.has(now)) || calls.owedFor(now) > 0,
    )
    if (exceeded) return exceeded.reason
    for (const { allowance, binds } of levels) allowance.connections.take(now, binds)
    return null
  }

  /**
   * One more call, which HTTP/2 has read already: null, or whose allowance is used up. It is charged in any case: what
   * came in one piece is paid for before anything else is read.
   */
  call(account: Account): Exceeded | null {
    const now = this.clock.monotonic()
    let exceeded: Exceeded | null = null
    for (const { allowance, binds, reason } of this.#active(account, now)) {
      if (binds && !allowance.calls.has(now)) exceeded ??= reason
      allowance.calls.take(now, binds)
    }
    return exceeded
  }

  /** Milliseconds until the calls of the account are paid for. */
  owedFor({ allowance, subject }: Account): number {
    const now = this.clock.monotonic()
    const allowances = [allowance, subject.allowance, ...(subject.crowd ? [this.#crowd] : [])]
    return Math.max(...allowances.map(({ calls }) => calls.owedFor(now)))
  }

  /** What counts for an account that is active now. It counts as active even where it is refused. */
  #active(account: Account, now: number): readonly RateLevel[] {
    const { subject } = account
    subject.activeAt = now
    const amongSubjects = this.#contention.active(subject, now)
    const levels: RateLevel[] = [
      { allowance: account.allowance, binds: subject.contention.active(account, now), reason: 'rate_process' },
      { allowance: subject.allowance, binds: amongSubjects, reason: 'rate_subject' },
    ]
    if (subject.crowd) levels.push({ allowance: this.#crowd, binds: amongSubjects, reason: 'rate_new_subjects' })
    return levels
  }

  #subject(name: string): Subject {
    const now = this.clock.monotonic()
    this.#forget(now)
    return renewed(this.#subjects, name, MAX_SUBJECTS, () => ({
      name,
      allowance: new Allowance(this.limits, 1, now),
      crowd: !this.#isWelcome(now),
      processes: new Map(),
      contention: new Contention(),
      activeAt: now,
    }))
  }

  #isWelcome(now: number): boolean {
    const welcome = this.#newSubjects.has(now)
    if (welcome) this.#newSubjects.take(now, true)
    return welcome
  }

  /** The oldest, where it was not active for long. */
  #forget(now: number): void {
    const [oldest] = this.#subjects
    if (oldest && now - oldest[1].activeAt > FORGET_MS) this.#subjects.delete(oldest[0])
  }
}

/** Follows the rate, which a reload may change. */
function scaled(rate: Rate, share: number): Rate {
  return {
    get perSecond() {
      return rate.perSecond * share
    },
    get burst() {
      return Math.max(1, rate.burst * share)
    },
  }
}

/** The value of the key, made where there is none, and moved to the end. */
function renewed<V>(map: Map<string, V>, key: string, most: number, make: () => V): V {
  const value = map.get(key) ?? make()
  putLast(map, key, value, most)
  return value
}
