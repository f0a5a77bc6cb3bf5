import type { AgentError } from '../errors.js'
import type { ClientCertificates, PresentedAt } from '../icp/client-certificates.js'
import { Signal } from '../lib/signal.js'
import type { NodeEvents } from '../observability/node-events.js'
import type { Clock } from '../ports/clock.js'
import type { AgentSvid } from './agent-svid.js'
import {
  accepted,
  failing,
  isFresh,
  madeInactive,
  olderEndsAt,
  presentable,
  refused,
  tokenSeen,
  tokenSpent,
  withoutOlder,
} from './certificates.js'
import type { AgentSvidFile } from './file.js'
import type { JoinTokenSource } from './join-token.js'
import { NewIssuer } from './new-issuer.js'
import { turnsAt } from './state.js'

export interface HeldOptions {
  readonly clock: Clock
  readonly file: AgentSvidFile
  readonly joinTokens: JoinTokenSource
  readonly events: NodeEvents
}

/** How often the join token file is read while a token is wanted. */
const TOKEN_LOOK_MS = 5000

/**
 * The agent's certificates in use: which of the two is presented, how the server answered to each, and whether there is
 * a new join token. It records and reports; the keeper decides what to do.
 */
export class HeldCertificates implements ClientCertificates {
  readonly #newIssuer = new NewIssuer()
  /** Digest of the join token at the last read. */
  #token: string | null = null
  /** When it was read, by the monotonic clock; null: read it again. */
  #lookedAt: number | null = null
  /** The current certificate at the last notification of listeners. */
  #told: AgentSvid | null = null
  /** The certificate whose expiry was last logged. */
  #ended: AgentSvid | null = null
  readonly #changed = new Signal()
  readonly #accepted = new Signal()

  constructor(private readonly options: HeldOptions) {}

  /** The certificate to present; null while none is valid. */
  current(): AgentSvid | null {
    return this.#presentable[0] ?? null
  }

  /** The second certificate that can be presented, for a while after each renewal. */
  other(): AgentSvid | null {
    return this.#presentable[1] ?? null
  }

  names(): readonly string[] {
    return this.#presentable.map(({ serial }) => serial)
  }

  /** False while no certificate is valid, or the server refuses all. */
  get usable(): boolean {
    const { refusal, inactive } = this.options.file.certificates
    return this.current() !== null && refusal === null && inactive === null
  }

  /** Calls back after every change. */
  subscribe(listener: () => void): Disposable {
    return this.#changed.subscribe(listener)
  }

  /**
   * Calls back when the server accepts a certificate again after it had accepted none, or activates the agent again.
   */
  onAccepted(listener: () => void): Disposable {
    return this.#accepted.subscribe(listener)
  }

  accepted(name: string | null): void {
    const { file, clock, events } = this.options
    const before = file.certificates
    file.note((known) => accepted(known, name, clock.now()))
    const after = file.certificates
    if (after === before) return
    if (after.first !== before.first) events.otherAccepted(after.first)
    if (before.refusal || before.inactive) {
      events.acceptedAgain()
      this.#accepted.emit()
    }
    this.changed()
  }

  refused(error: AgentError): void {
    this.options.events.refusalCounted()
    this.noteRefusal(error)
    this.changed()
  }

  inactive(error: AgentError): void {
    this.noteInactive(error)
    this.changed()
  }

  failsAt(): readonly PresentedAt[] {
    return this.options.file.certificates.failsAt
  }

  failed(place: PresentedAt): void {
    this.options.file.note((known) => failing(known, place))
    this.changed()
  }

  noteRefusal(error: AgentError): void {
    const { file, clock, events } = this.options
    if (!file.certificates.refusal) this.#lookedAt = null
    file.note((known) => refused(known, { now: clock.now(), monotonic: clock.monotonic() }))
    events.refused(error, this.current())
  }

  /** `spent`: digest of the join token of the attestation that was refused. */
  noteInactive(error: AgentError, spent: string | null = null): void {
    const { file, clock, events } = this.options
    file.note((known) => tokenSpent(known, spent))
    if (file.certificates.inactive) return
    file.note((known) => madeInactive(known, clock.now()))
    this.#lookedAt = null
    events.inactive(this.current(), error)
  }

  /** An answer named these authorities (DER). If the certificate chains to none of them, it is renewed early. */
  issuersNamed(authorities: readonly Uint8Array[]): void {
    const { file, clock, events } = this.options
    if (!this.#newIssuer.named(authorities, file.identity, clock.monotonic())) return
    events.newIssuer((this.#newIssuer.at ?? clock.monotonic()) - clock.monotonic())
    this.changed()
  }

  renewed(identity: AgentSvid): void {
    this.#newIssuer.renewed(identity, this.options.clock.monotonic())
    this.options.events.acceptedAgain()
  }

  /** When to renew because of a new issuer; null: there is none. */
  newIssuerAt(now: number): number | null {
    const { at } = this.#newIssuer
    return at === null ? null : now + Math.max(0, at - this.options.clock.monotonic())
  }

  /** There is a join token to attest with at once. */
  get freshToken(): boolean {
    return this.#lookedAt !== null && isFresh(this.options.file.certificates, this.#token)
  }

  /** The source of the join token may have changed: reads it at once if a token is wanted. */
  forgetLook(): void {
    this.#lookedAt = null
  }

  /** When the join token is read again; null if it cannot change while the agent runs. */
  looksAt(now: number): number | null {
    if (this.#lookedAt === null) return now
    if (!this.options.joinTokens.watchable) return null
    return now + Math.max(0, this.#lookedAt + TOKEN_LOOK_MS - this.options.clock.monotonic())
  }

  /**
   * Reads the join token; returns its digest, and whether it differs from that of the last read. Throws `file.*`.
   */
  async look(): Promise<{ readonly digest: string | null; readonly news: boolean }> {
    const { clock, joinTokens, file } = this.options
    const first = this.#lookedAt === null
    this.#lookedAt = clock.monotonic()
    const digest = (await joinTokens.read())?.digest ?? null
    file.note((known) => tokenSeen(known, digest))
    const news = first || digest !== this.#token
    this.#token = digest
    return { digest, news }
  }

  /** The next moment at which the state changes without an event. */
  turnsAt(now: number): number {
    const { certificates } = this.options.file
    if (this.current() !== this.#told) return now
    const turns = [certificates.newest, certificates.older].map((identity) => turnsAt(identity, now))
    return Math.min(...turns, olderEndsAt(certificates))
  }

  /** Erases the older certificate and its key when their time is over, and notifies listeners. */
  timePassed(): void {
    const { file, clock } = this.options
    if (clock.now() >= olderEndsAt(file.certificates)) file.note(withoutOlder)
    this.changed()
  }

  /** Logs once for each certificate that it expired before it was renewed. */
  noticeExpiry(): void {
    const { file, clock, events } = this.options
    const { identity } = file
    if (!identity || identity === this.#ended || clock.now() < identity.notAfter) return
    this.#ended = identity
    events.expired(identity)
  }

  changed(): void {
    this.#told = this.current()
    this.#changed.emit()
  }

  get #presentable(): readonly AgentSvid[] {
    return presentable(this.options.file.certificates, this.options.clock.now())
  }
}
