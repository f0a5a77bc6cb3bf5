import { Bucket, type Rate } from '../lib/bucket.js'
import { putLast } from '../lib/oldest.js'
import type { Clock } from '../ports/clock.js'

/** Rates of one subject while others call too. */
export interface RateLimits {
  readonly connections: Rate
  readonly calls: Rate
}

/** The rate that is exceeded. */
export type Exceeded = 'rate_process' | 'rate_subject' | 'rate_new_subjects'

/** A level is contended if two of its members were active within this time. */
const CONTENTION_MS = 10_000
/** A process has half of what its subject has. */
const PROCESS_SHARE = 0.5
/** All subjects of a crowd together have twice the rate of one subject. */
const CROWD_SHARE = 2
/** Rate at which new subjects may appear; those above it form a crowd. */
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

/** Tracks whether another member of the same level was active recently. */
class Contention {
  #last: object | null = null
  #lastAt = Number.NEGATIVE_INFINITY
  #othersAt = Number.NEGATIVE_INFINITY

  /** `who` is active now; true if another was recently. */
  active(who: object, now: number): boolean {
    if (who !== this.#last) {
      this.#othersAt = this.#lastAt
      this.#last = who
    }
    this.#lastAt = now
    return now - this.#othersAt < CONTENTION_MS
  }
}

/** The rate account of one process. */
export interface Account {
  readonly subject: Subject
  readonly allowance: Allowance
}

export interface Subject {
  readonly name: string
  readonly allowance: Allowance
  /** The subject belongs to a crowd, so the crowd's common rate also applies. */
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
 * Limits connections and calls by process, by subject, and for all subjects of a crowd together, because one user may own
 * tens of thousands of subordinate ids. A rate applies only while another member of the same level is active.
 */
export class Rates {
  /** Ordered by last connection. */
  readonly #subjects = new Map<string, Subject>()
  /** By process, so that a process above its rate is rejected before its container is looked up. */
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

  /** The account of a process; the caller may keep it as long as a connection is open. */
  account(subject: string, process: string): Account {
    const known = this.#subject(subject)
    const account = renewed(known.processes, process, MAX_PROCESSES, () => ({
      subject: known,
      allowance: new Allowance(this.limits, PROCESS_SHARE, this.clock.monotonic()),
    }))
    putLast(this.#processes, process, account, MAX_SUBJECTS)
    return account
  }

  /** The last account under this process name; another process may have the pid now. */
  lastAccount(process: string): Account | undefined {
    return this.#processes.get(process)
  }

  /** Charges a connection; returns null, or the exceeded rate, and then nothing is charged. */
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
   * Charges a call, which HTTP/2 has already read; returns null or the exceeded rate. It is charged in any case, so that
   * calls that arrived in one read delay the next read.
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

  /** Milliseconds until the account is within its call rates again. */
  owedFor({ allowance, subject }: Account): number {
    const now = this.clock.monotonic()
    const allowances = [allowance, subject.allowance, ...(subject.crowd ? [this.#crowd] : [])]
    return Math.max(...allowances.map(({ calls }) => calls.owedFor(now)))
  }

  /** The levels whose rates apply to an account that is active now; a refused one counts as active too. */
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

  /** Drops the oldest subject if it has not been active for long. */
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

/** The value of the key, created if missing and moved to the end. */
function renewed<V>(map: Map<string, V>, key: string, most: number, make: () => V): V {
  const value = map.get(key) ?? make()
  putLast(map, key, value, most)
  return value
}
