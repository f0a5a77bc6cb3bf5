import type { Kind } from './plan.js'
import type { WorkloadReport } from './reports.js'
import { Starvation } from './starvation.js'
import { Withdrawals } from './withdrawals.js'

/** A stretch of time, in real milliseconds since 1970. */
export interface Span {
  readonly from: number
  readonly to: number
}

export interface Violation {
  readonly at: number
  readonly what: string
}

interface Line {
  /** Since when it has been without; null while it is served. */
  since: number | null
  why: string
}

interface Gap extends Span {
  readonly name: string
  readonly why: string
}

/** How long after a fault's end everybody must be served again. */
export const BACK_WITHIN_MS = 10_000

/** All that was seen in a run: messages, violations, who was without an identity and when, and the faults. */
export class Ledger {
  readonly #violations: Violation[] = []
  readonly #lines = new Map<string, Line>()
  readonly #gaps: Gap[] = []
  readonly #faults: (Span & { readonly kind: Kind })[] = []
  readonly #skipped = new Map<Kind, string>()
  #active = new Map<object, { readonly kind: Kind; readonly from: number }>()
  readonly withdrawals = new Withdrawals()
  readonly starvation = new Starvation()
  readonly jwts = { verified: 0, unverified: 0, refused: 0 }
  messages = 0
  svids = 0
  fresh = 0

  get violations(): readonly Violation[] {
    return this.#violations
  }

  get faults(): readonly (Span & { readonly kind: Kind })[] {
    return this.#faults
  }

  /** Kinds that this machine or user does not allow, and why. */
  get skipped(): ReadonlyMap<Kind, string> {
    return this.#skipped
  }

  /** How many workloads are without now. */
  get waiting(): number {
    return [...this.#lines.values()].filter(({ since }) => since !== null).length
  }

  /** What came before does not count: everything was only starting. Broken invariants do. */
  begin(at: number): void {
    this.#gaps.length = 0
    for (const line of this.#lines.values()) if (line.since !== null) line.since = at
  }

  violation(what: string, at: number): void {
    this.#violations.push({ at, what })
  }

  faultBegan(token: object, kind: Kind): void {
    this.#active.set(token, { kind, from: Date.now() })
  }

  /** `knownAfterMs`: how long until those concerned can know of the end. */
  faultEnded(token: object, knownAfterMs = 0): void {
    const fault = this.#active.get(token)
    if (!fault) return
    this.#active.delete(token)
    this.#faults.push({ ...fault, to: Date.now() + knownAfterMs })
  }

  faultSkipped(token: object, kind: Kind, why: string): void {
    this.#active.delete(token)
    this.#skipped.set(kind, why)
  }

  /** A workload started: it waits for its identity. */
  began(name: string, at: number): void {
    this.#lines.set(name, { since: at, why: 'it has only just started' })
  }

  /** It was ended by us. */
  ended(name: string, at: number): void {
    this.#close(name, at)
    this.#lines.delete(name)
    this.withdrawals.ended(name, at)
  }

  reported(name: string, report: WorkloadReport): void {
    if (report.kind === 'violation') this.violation(`${name}: ${report.what}`, report.at)
    else if (report.kind === 'received') {
      this.messages++
      this.svids += report.ids.length
      this.fresh += report.fresh
      this.withdrawals.shows(name, report.ids, report.at)
    } else if (report.kind === 'ended') this.withdrawals.shows(name, [], report.at)
    else if (report.kind === 'jwt') this.jwts[report.outcome]++
    else if (report.served) this.#close(name, report.at)
    else {
      const line = this.#lines.get(name)
      if (line) Object.assign(line, { since: line.since ?? report.at, why: report.why })
    }
  }

  /**
   * Ends the book: whoever is still without has been so until now. Adds the violations of the time that was allowed; a
   * withdrawal has this much more of it than the way back after a fault, in which the agent hears of it.
   */
  close(at: number, { hearsAfterMs }: { readonly hearsAfterMs: number }): void {
    for (const name of [...this.#lines.keys()]) this.#close(name, at)
    for (const gap of this.#gaps) {
      for (const part of free(gap, this.#faults)) {
        const ms = this.starvation.fedMs(part)
        if (ms <= BACK_WITHIN_MS) continue
        this.violation(`${gap.name} was without an identity for ${ms} ms with nothing amiss (${gap.why})`, part.from)
      }
    }
    this.withdrawals.close(at)
    // That an entry is gone excuses nobody who still serves it.
    const excuses = this.#faults.filter(({ kind }) => kind !== 'entry-gone')
    for (const part of this.withdrawals.undisturbed(excuses)) {
      const ms = this.starvation.fedMs(part)
      if (ms <= BACK_WITHIN_MS + hearsAfterMs) continue
      this.violation(`${part.name} had ${part.spiffeId} for ${ms} ms after its entry was gone`, part.from)
    }
  }

  /** The longest that anybody was without, and the longest after the end of the faults of that time. */
  longest(): { readonly gapMs: number; readonly recoveryMs: number } {
    const ways = this.#gaps.flatMap((gap) => free(gap, this.#faults))
    return {
      gapMs: Math.max(0, ...this.#gaps.map(({ from, to }) => to - from)),
      recoveryMs: Math.max(0, ...ways.map((way) => this.starvation.fedMs(way))),
    }
  }

  #close(name: string, at: number): void {
    const line = this.#lines.get(name)
    if (!line || line.since === null) return
    this.#gaps.push({ name, from: line.since, to: at, why: line.why })
    line.since = null
  }
}

/** What is left of a span without the others. */
export function free(span: Span, others: readonly Span[]): readonly Span[] {
  let left: Span[] = [span]
  for (const other of others) {
    left = left.flatMap(({ from, to }) => {
      if (other.to <= from || other.from >= to) return [{ from, to }]
      return [
        { from, to: other.from },
        { from: other.to, to },
      ].filter((part) => part.to > part.from)
    })
  }
  return left
}
