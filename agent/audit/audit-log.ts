import { AgentError, messageOf } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import { aborted, LinkedAbort } from '../lib/abort.js'
import { Signal } from '../lib/signal.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import { iso } from '../lib/time.js'
import type { AuditEvents } from '../observability/audit-events.js'
import type {
  AdminIds,
  CallerIds,
  ConfigurationChange,
  Denied,
  Observer,
  Served,
  ServedX509,
  ShownJwt,
  ShownX509,
} from '../observability/observer.js'
import { terminalSafe } from '../observability/printable.js'
import type { AuditTarget } from '../ports/audit-target.js'
import type { Clock } from '../ports/clock.js'
import type { AUDIT_SCHEMA, RecordFields, RecordType } from './records.js'
import { Repeats } from './repeats.js'
import { whoOf } from './who.js'

/** Repeated here, because the module of the records is only for documentation and tests and is not loaded. */
const SCHEMA: typeof AUDIT_SCHEMA = 'icp-agent/audit/1'
const LOOK_MS = 1_000
const DENIAL_RESTS_MS = 10 * 60_000
/** With `fail_closed` nothing new is granted while more than this waits, to leave room for records of earlier grants. */
const HOLD_ABOVE = 3 * 1024 * 1024
const MAX_AUDIENCES = 16
const MAX_AUDIENCE = 256
const MAX_TEXT = 4096
const MAX_KEYS = 100

export interface AuditLogOptions {
  /** The first target; null: none until `moveTo`. */
  readonly target: AuditTarget | null
  readonly clock: Clock
  readonly events: AuditEvents
  readonly nodeId: string
  /** New grants are held while records cannot be written. */
  readonly failClosed: boolean
}

interface Recorded {
  readonly seq: number
  readonly type: RecordFields<'repeated'>['of_type']
}

/**
 * The audit log: which SVIDs were served to or denied to which process, what was issued, and what an administrator did,
 * one JSON object per line. A record is queued before its message is sent, and no call waits for it: unwritten records
 * wait in the target's buffer; if that is full they are lost, counted, and the loss is recorded. With `failClosed`, new
 * grants wait instead.
 */
export class AuditLog implements Observer {
  readonly #repeats = new Repeats<Recorded>((one) => {
    if (one.times === 0) return
    const { seq, type } = one.record
    this.#record('repeated', { of: seq, of_type: type, times: one.times, last_time: iso(one.last) })
  })
  readonly #released = new Signal()
  readonly #moved = new Signal()
  #target: AuditTarget | null
  /** Former targets that still write. */
  readonly #ending = new Set<AuditTarget>()
  #about: RecordFields<'agent_started'> | null = null
  #seq = 0
  #lost: { records: number; since: number } | null = null
  #held = false

  constructor(private readonly options: AuditLogOptions) {
    this.#target = options.target
  }

  /** Opens the target, before any record. */
  start(about: RecordFields<'agent_started'>): void {
    this.#about = about
    this.#target?.reopen()
    this.#record('agent_started', about)
    this.#look()
  }

  /**
   * Writes records to this open target, or to none, from now on. Open repetitions are closed in the former one.
   */
  moveTo(target: AuditTarget | null): void {
    this.#repeats.closeUntil(Number.POSITIVE_INFINITY)
    this.#record('audit_moved', {})
    const before = this.#target
    if (before) void this.#endOf(before)
    this.#target = target
    // Without a target no record is lost.
    if (target === null) this.#lost = null
    if (this.#about) this.#record('agent_started', this.#about)
    this.#look()
    this.#moved.emit()
  }

  /**
   * Checks once a second whether records can be written again, and closes expired repetitions. Ends with the signal.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.options
    while (!signal.aborted) {
      if (this.#target === null) await this.#hasTarget(signal)
      await sleepUnlessAborted(clock, LOOK_MS, signal)
      const target = this.#target
      if (target && (target.failure !== null || target.waiting > 0)) target.retry()
      this.#repeats.closeUntil(clock.now())
      this.#recordLoss()
      this.#look()
    }
  }

  async #hasTarget(signal: AbortSignal): Promise<void> {
    using moved = new LinkedAbort(signal)
    using _told = this.#moved.subscribe(() => this.#target && moved.abort())
    await aborted(moved.signal)
  }

  /** Reopens the file after it was rotated. */
  reopen(): void {
    this.#target?.reopen()
    this.#look()
  }

  /** Closes all repetitions, and writes waiting records as far as the target accepts them. */
  async end(): Promise<void> {
    this.#repeats.closeUntil(Number.POSITIVE_INFINITY)
    this.#record('agent_stopped', {})
    this.#look()
    if (this.#target) await this.#endOf(this.#target)
  }

  async #endOf(target: AuditTarget): Promise<void> {
    this.#ending.add(target)
    const lost = await target.end()
    this.#ending.delete(target)
    if (lost > 0) this.options.events.lost(lost)
  }

  /** A thread is writing, or hangs while writing. */
  get writing(): boolean {
    return [...this.#ending, ...(this.#target ? [this.#target] : [])].some(({ writing }) => writing)
  }

  /** Bytes that are not written yet. */
  get waiting(): number {
    return this.#target?.waiting ?? 0
  }

  /** Why nothing new may be granted now; null: grants are allowed. */
  heldGrants(): AgentError | null {
    const { failClosed } = this.options
    if (!failClosed) return null
    const why = this.#trouble()
    this.#held = why !== null
    if (why === null) return null
    return new AgentError(
      'audit.unavailable',
      'the audit log of the agent cannot be written, and nothing is granted that is not recorded (audit.fail_closed); try again',
    )
  }

  /** Calls back when held grants are allowed again. */
  onReleased(released: () => void): Disposable {
    return this.#released.subscribe(released)
  }

  nodeAttested(svid: ShownX509, how: 'attested' | 'renewed'): void {
    this.#record('node_attested', { ...shownX509(svid), how })
  }

  x509Issued(entryId: string, svid: ShownX509): void {
    this.#record('x509_svid_issued', { entry_id: cut(entryId), ...shownX509(svid) })
  }

  jwtIssued(entryId: string, svid: ShownJwt): void {
    this.#record('jwt_svid_issued', { entry_id: cut(entryId), ...shownJwt(svid) })
  }

  x509Served(to: Served, svids: readonly ServedX509[]): void {
    if (this.#target === null) return
    const now = this.options.clock.now()
    for (const { entryId, svid } of svids) {
      const served = { holder: to.key, place: `x509 ${entryId}`, what: svid.serial }
      this.#repeats.add(served, { now, until: svid.notAfter }, () =>
        this.#once('x509_svid_served', {
          who: whoOf(to.caller, to.selectors),
          entry_id: cut(entryId),
          ...shownX509(svid),
        }),
      )
    }
  }

  jwtServed(to: Served, svids: readonly ShownJwt[]): void {
    if (this.#target === null) return
    const now = this.options.clock.now()
    for (const svid of svids) {
      const served = { holder: to.key, place: `jwt ${svid.id}`, what: svid.id }
      this.#repeats.add(served, { now, until: svid.expiresAt }, () =>
        this.#once('jwt_svid_served', { who: whoOf(to.caller, to.selectors), ...shownJwt(svid) }),
      )
    }
  }

  denied(caller: CallerIds, selectors: Selectors, { id, method, code, message }: Denied): void {
    if (this.#target === null) return
    const now = this.options.clock.now()
    const denial = { holder: `denial ${id}`, place: id, what: id }
    this.#repeats.add(denial, { now, until: now + DENIAL_RESTS_MS }, () =>
      this.#once('denied', { who: whoOf(caller, selectors), denial_id: id, method, code, reason: cut(message) }),
    )
  }

  workloadEnded(key: string): void {
    this.#repeats.closeHolder(key)
  }

  entryWithdrawn(entryId: string): void {
    this.#record('entry_withdrawn', { entry_id: cut(entryId) })
  }

  x509Revoked(serial: string): void {
    this.#record('x509_svid_revoked', { serial: cut(serial) })
  }

  adminConnected({ pid, uid }: AdminIds): void {
    this.#record('admin_access', { pid, uid })
  }

  configurationChanged({ keys, how }: ConfigurationChange): void {
    this.#record('configuration_changed', { keys: keys.slice(0, MAX_KEYS).map(cut), how: cut(how) })
  }

  #once<T extends Recorded['type']>(type: T, fields: RecordFields<T>): Recorded {
    return { seq: this.#record(type, fields), type }
  }

  #record<T extends RecordType>(type: T, fields: RecordFields<T>): number {
    if (this.#target === null) return this.#seq
    this.#recordLoss()
    const seq = ++this.#seq
    if (!this.#write(type, fields, seq)) {
      this.#lost ??= { records: 0, since: this.options.clock.now() }
      this.#lost.records++
      this.options.events.lost(1)
      this.#look()
    }
    return seq
  }

  #recordLoss(): void {
    if (this.#lost === null) return
    const { records, since } = this.#lost
    if (!this.#write('audit_lost', { records, since: iso(since) }, this.#seq + 1)) return
    this.#seq++
    this.#lost = null
  }

  #write<T extends RecordType>(type: T, fields: RecordFields<T>, seq: number): boolean {
    const { clock, nodeId, events } = this.options
    const record = { schema: SCHEMA, time: iso(clock.now()), seq, node_id: nodeId, type, ...fields }
    const line = `${terminalSafe(JSON.stringify(record))}\n`
    const taken = this.#target?.write(line) ?? false
    if (taken) events.recorded(type, Buffer.byteLength(line))
    return taken
  }

  /** Reports a failure of the target once, and its end to held grants. */
  #look(): void {
    const why = this.#trouble()
    if (why === null) this.options.events.written()
    else this.options.events.failed(new AgentError('audit.unavailable', why, { cause: this.#target?.failure }))
    const held = this.options.failClosed && why !== null
    const released = this.#held && !held
    this.#held = held
    if (released) this.#released.emit()
  }

  #trouble(): string | null {
    if (this.#target === null) return null
    const { failure, waiting } = this.#target
    if (failure !== null) return `the audit log cannot be written: ${messageOf(failure)}`
    if (this.#lost !== null) return 'the audit log is not written fast enough; records are lost'
    return waiting > HOLD_ABOVE ? 'the audit log is not written fast enough; its buffer is nearly full' : null
  }
}

function shownX509({ spiffeId, serial, notAfter }: ShownX509) {
  return { spiffe_id: spiffeId.uri, serial, not_after: iso(notAfter) }
}

function shownJwt({ spiffeId, audience, id, expiresAt }: ShownJwt) {
  return {
    spiffe_id: spiffeId.uri,
    token_id: cut(id),
    audience: audience.slice(0, MAX_AUDIENCES).map((one) => one.slice(0, MAX_AUDIENCE)),
    audiences: audience.length,
    expires: iso(expiresAt),
  }
}

function cut(text: string): string {
  return text.slice(0, MAX_TEXT)
}
