import { AgentError, SILENCE } from '../errors.js'
import type { ServerSkew } from '../icp/control-plane.js'
import { pauseOf, type RateLimiter } from '../icp/rate-limiter.js'
import { type Backoff, delay } from '../lib/backoff.js'
import { type RenewalThreshold, renewalTime } from '../lib/renewal-time.js'
import type { NodeEvents } from '../observability/node-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import type { AgentSvid } from './agent-svid.js'
import { AttemptPace } from './attempt-pace.js'
import type { AgentSvidSteps, Earned } from './attest.js'
import { tokenSpent } from './certificates.js'
import type { AgentSvidFile } from './file.js'
import { HeldCertificates } from './held-certificates.js'
import type { JoinTokenSource } from './join-token.js'
import { LOCKED_OUT, RENEWAL_REFUSED } from './lockout.js'
import { runLoop } from './loop.js'
import { type Due, dueOf, type NextStep, nextStep } from './next-step.js'
import { type AgentSvidState, type AgentSvidTrouble, clockWait, stateOf } from './state.js'

export interface KeeperOptions {
  readonly clock: Clock
  readonly random: Random
  readonly file: AgentSvidFile
  readonly steps: AgentSvidSteps
  readonly joinTokens: JoinTokenSource
  readonly skew: ServerSkew
  readonly threshold: RenewalThreshold
  readonly backoff: Backoff
  readonly events: NodeEvents
}

/**
 * Keeps the agent SVID: restores it, attests the node, renews in time, attests again if renewal is refused. A valid SVID
 * stays in use until a verified one replaces it. A failing disk blocks attestations with a join token only. An attempt
 * begins when a slot of the tier that `due` names is open.
 */
export class AgentSvidKeeper {
  /** The certificates that requests to the server present. */
  readonly certificates: HeldCertificates
  #renewAt = 0
  #restored = false
  /** Renewal was refused, or there is a fresh join token: the next attempt attests the node. */
  #attestNext = false
  readonly #pace: AttemptPace
  /** Why the SVID in use is not on disk. Logged once; the write is retried. */
  #unsaved: AgentSvidTrouble | null = null
  #trouble: AgentSvidTrouble | null = null
  #locked: (AgentSvidTrouble & { readonly tokenDigest: string | null }) | null = null
  #running: Promise<void> | null = null
  readonly #startedAt: number

  constructor(private readonly options: KeeperOptions) {
    this.#startedAt = options.clock.now()
    this.#pace = new AttemptPace(options)
    this.certificates = new HeldCertificates(options)
    this.certificates.onAccepted(() => this.#pace.reset())
  }

  /** Reads the identity file; call it once, before anything else. Throws `file.io` if the disk does not answer. */
  async restore(): Promise<void> {
    const { file, events, clock } = this.options
    const { identity, pending, setAside } = await file.load({ now: clock.now(), monotonic: clock.monotonic() })
    if (setAside) events.setAside(setAside)
    if (pending?.token && !pending.answer) events.unfinished(pending.token.at)
    if (identity) {
      this.#inForce(identity)
      events.restored(identity)
    }
    if (file.certificates.inactive) events.inactive(identity)
    this.#restored = true
    this.certificates.changed()
  }

  /** The SVID to present; null while none is valid. */
  current(): AgentSvid | null {
    return this.certificates.current()
  }

  state(): AgentSvidState {
    const { clock, skew, file, joinTokens } = this.options
    const troubles = { trouble: this.#trouble, locked: this.#locked, unsaved: this.#unsaved }
    const known = { certificates: file.certificates, startedAt: this.#startedAt, remedy: joinTokens.remedy }
    return stateOf({ ...known, ...troubles, skewMs: skew() }, clock.now())
  }

  /**
   * Calls back after every change of the SVID or the state. If the SVID becomes valid or expires by time alone, it calls
   * back only while `run` runs, and slightly later than `current` changes.
   */
  subscribe(listener: () => void): Disposable {
    return this.certificates.subscribe(listener)
  }

  /** When the next attempt is due; null before `restore`, and if another change must come first. */
  due(now: number): Due | null {
    if (!this.#restored) return null
    const next = this.#next(now)
    const waitMs = this.#pace.waitFor(next.step === 'attest' ? 'attest' : 'other')
    const workspace = this.options.file.identity?.workspace ?? false
    return dueOf(next, { now, waitMs, urgent: this.current() === null, workspace })
  }

  /** The server answers again: an attempt that failed without an answer need not wait. */
  serverReturned(): void {
    if (this.#locked || !this.#trouble || !SILENCE.has(this.#trouble.error.code)) return
    this.#pace.reset()
    this.certificates.changed()
  }

  /** The configuration changed: there may be another join token, and an attempt may succeed. */
  settingsChanged(): void {
    this.certificates.forgetLook()
    if (this.#trouble || this.#locked) this.#pace.reset()
    this.certificates.changed()
  }

  /**
   * One attempt at the next step, due or not; a call during an attempt waits for it. A failure is recorded (`state`, `due`)
   * and not thrown: it rejects only with the signal's reason or a defect.
   */
  attempt(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#attempt(signal).finally(() => {
      this.#running = null
    })
    return this.#running
  }

  /** Keeps the SVID until the signal aborts. */
  async run(signal: AbortSignal, limiter: Pick<RateLimiter, 'whenOpen'>): Promise<void> {
    const { clock, backoff, random } = this.options
    await runLoop({
      clock,
      signal,
      onChange: (wake) => this.subscribe(wake),
      retryAfterMs: (_error, failures) => delay(failures, backoff, random.fraction()),
      duties: [
        {
          nextAt: () => this.due(clock.now())?.at ?? null,
          run: async (running) => {
            const due = this.due(clock.now())
            if (due) await limiter.whenOpen(due.tier, running, () => this.attempt(running), { urgent: true })
          },
        },
        {
          nextAt: () => (this.#wantsToken ? this.certificates.looksAt(clock.now()) : null),
          run: () => this.lookForToken(),
        },
        { nextAt: () => this.certificates.turnsAt(clock.now()), run: async () => this.certificates.timePassed() },
        { nextAt: () => (this.#unsaved || this.options.file.noted ? clock.now() : null), run: () => this.#write() },
      ],
    })
  }

  /** Ends a lock-out or a refusal if there is a new join token. Reads one small file. */
  async lookForToken(): Promise<void> {
    this.certificates.noticeExpiry()
    const { digest, news } = await this.certificates.look()
    const { refusal, inactive } = this.options.file.certificates
    const unlocks = this.#locked !== null && !inactive && digest !== null && digest !== this.#locked.tokenDigest
    const helps = (refusal !== null || inactive !== null) && news && this.certificates.freshToken
    if (!unlocks && !helps) return
    this.options.events.joinTokenFound()
    this.#locked = null
    this.#attestNext = unlocks
    this.#pace.reset()
    this.certificates.changed()
  }

  get #wantsToken(): boolean {
    const { refusal, inactive } = this.options.file.certificates
    return this.#locked !== null || refusal !== null || inactive !== null
  }

  #next(now: number): NextStep {
    const { steps, file, joinTokens, skew } = this.options
    const { newest, refusal, inactive } = file.certificates
    return nextStep(
      {
        unfinished: steps.unfinished,
        newest: newest && { workspace: newest.workspace, renewAt: this.#renewAt },
        valid: this.current() !== null,
        clockWait: newest && clockWait(newest, now, joinTokens.configured ? skew() : null),
        newIssuerAt: this.certificates.newIssuerAt(now),
        refusedForMs: refusal?.forMs ?? null,
        inactive: inactive !== null,
        freshToken: this.certificates.freshToken,
        attestNext: this.#attestNext,
        locked: this.#locked !== null,
      },
      now,
    )
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { steps, clock, file } = this.options
    const { step } = this.#next(clock.now())
    const identity = file.identity
    if (step === 'wait' || !this.#restored) return
    try {
      if (step === 'renew' && identity) this.#earned(await steps.renew(identity, signal))
      else this.#earned(step === 'complete' ? await steps.complete(signal) : await steps.attest(signal))
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (!(error instanceof AgentError)) throw error
      this.#decideOnFailure(step, error)
      await this.#lookQuietly()
    }
    this.#noteUnsaved()
    this.certificates.changed()
  }

  /** What a failed step means: a certificate refused, an agent made inactive, a lock-out, or a failure to retry. */
  #decideOnFailure(step: NextStep['step'], error: AgentError): void {
    const { file, steps, events } = this.options
    const ofTheAgent = step === 'renew' && error.code === 'icp.unauthorized' && file.identity?.workspace === true
    if (ofTheAgent) this.certificates.noteRefusal(error)
    if (error.code === 'icp.agent_inactive')
      this.certificates.noteInactive(error, step === 'attest' ? steps.tokenSent : null)
    else if (step === 'attest' && LOCKED_OUT.has(error.code)) this.#lockOut(error)
    else if (ofTheAgent && !this.#locked) {
      if (!this.certificates.freshToken) this.#pace.failed(pauseOf(error))
    } else if (step === 'renew' && RENEWAL_REFUSED.has(error.code) && !this.#locked) {
      events.renewalRefused(error)
      this.#attestNext = true
    } else this.#failed(step, error)
  }

  #earned({ identity, way }: Earned): void {
    const { events } = this.options
    this.#inForce(identity)
    this.certificates.renewed(identity)
    this.#attestNext = false
    this.#pace.reset()
    this.#trouble = null
    this.#locked = null
    if (way === 'attest') events.attested(identity)
    else events.renewed(identity)
  }

  #inForce(identity: AgentSvid): void {
    this.#renewAt = renewalTime({ ...identity, threshold: this.options.threshold, fraction: identity.spread })
  }

  #lockOut(error: AgentError): void {
    const { clock, events, steps, file } = this.options
    const tokenDigest = steps.tokenSent
    file.note((known) => tokenSpent(known, tokenDigest))
    if (this.#locked) events.stillLockedOut(error)
    else events.lockedOut(error, this.current())
    this.#locked = { error, since: this.#locked?.since ?? clock.now(), tokenDigest }
    // The present SVID may still be renewable: perhaps a gateway refused, not the server.
    this.#attestNext = false
    const perhaps = error.code === 'icp.unauthorized' || this.current() !== null
    this.#pace.lockedOut(tokenDigest === null ? 'nothing' : perhaps ? 'token' : 'consumed_token')
    this.certificates.noticeExpiry()
  }

  #failed(step: NextStep['step'], error: AgentError): void {
    const { clock, events } = this.options
    // A valid SVID may be renewable again by then, which costs no join token.
    this.#attestNext = false
    this.#trouble = { error, since: this.#trouble?.since ?? clock.now() }
    if (this.#locked) {
      events.stillLockedOut(error)
      const refused = step === 'renew' && RENEWAL_REFUSED.has(error.code)
      // Attesting without a join token costs nothing and has its own pace, and the refusal may be over.
      if (refused && this.#locked.tokenDigest === null) this.#attestNext = true
      else if (step === 'attest') this.#pace.lockedOut('token')
      else if (refused) this.#pace.renewalRefused()
      else this.#pace.failed(pauseOf(error))
    } else {
      const wait = this.#pace.failed(pauseOf(error))
      if (step === 'renew' || (step === 'complete' && this.current())) events.renewalFailed(error, wait)
      else events.attestationFailed(error, wait)
    }
    this.certificates.noticeExpiry()
  }

  /** Reads the join token at the moment of a refusal; if that fails, the next read decides. */
  async #lookQuietly(): Promise<void> {
    if (!this.#wantsToken || this.#locked) return
    try {
      await this.lookForToken()
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
    }
  }

  async #write(): Promise<void> {
    try {
      await this.options.file.flush()
    } finally {
      this.#noteUnsaved()
      this.certificates.changed()
    }
  }

  /** Logs a change between saved and unsaved; called after each possible write. */
  #noteUnsaved(): void {
    const { file, events, clock } = this.options
    const error = file.unsaved
    if (error) events.unsaved(error)
    else events.saved()
    this.#unsaved = error && { error, since: this.#unsaved?.since ?? clock.now() }
  }
}
