import { AgentError, type ErrorCode } from '../errors.js'
import { pauseOf } from '../icp/budget.js'
import type { ServerSkew } from '../icp/control-plane.js'
import { renewalTier } from '../icp/endpoints.js'
import type { NodeEvents } from '../observability/node-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { type Backoff, delay } from '../rotation/backoff.js'
import { keep } from '../rotation/keep.js'
import { type RenewalThreshold, renewalTime } from '../rotation/renewal-time.js'
import { type AgentIdentity, validAt } from './agent-identity.js'
import { AttemptPace } from './attempt-pace.js'
import type { IdentityFile } from './identity-file.js'
import { clockWait, type IdentityState, stateOf, type Trouble, turnsAt } from './identity-state.js'
import type { Earned, IdentitySteps } from './identity-steps.js'
import type { JoinTokenSource } from './join-token.js'
import { UnsavedIdentity } from './unsaved-identity.js'

export interface KeeperOptions {
  readonly clock: Clock
  readonly random: Random
  readonly file: IdentityFile
  readonly steps: IdentitySteps
  readonly joinTokens: JoinTokenSource
  readonly skew: ServerSkew
  readonly threshold: RenewalThreshold
  readonly backoff: Backoff
  readonly events: NodeEvents
}

/** The server's rate-limit tier of the next request; `open` is in none but the window around everything. */
export type RequestTier = 'bootstrap' | 'standard' | 'open'

export interface Due {
  /** The wall-clock moment (ms) of the next attempt; in the past: now. */
  readonly at: number
  /** True while there is no valid identity: without one nothing else works. */
  readonly urgent: boolean
  readonly tier: RequestTier
}

type Step = 'complete' | 'renew' | 'attest' | 'wait'

/** How often a new join token is looked for during a lock-out. */
const TOKEN_LOOK_MS = 5000

/** No answer at all. */
const SILENCE: ReadonlySet<ErrorCode> = new Set(['icp.unreachable', 'icp.timeout', 'icp.tls'])
/** A renewal that fails like this leads to node attestation. */
const RENEWAL_REFUSED: ReadonlySet<ErrorCode> = new Set(['icp.unauthorized', 'icp.forbidden', 'icp.not_found'])
/** A node attestation that fails like this goes on failing until an administrator does something. */
const LOCKED_OUT: ReadonlySet<ErrorCode> = new Set(['icp.unauthorized', 'agent.locked_out', 'agent.token_consumed'])

/**
 * Keeps the agent's own identity: restores it, attests the node, renews in time, attests again where renewal is
 * refused. What is valid is served on whatever happens, and replaced only by what was verified; a failing disk holds up
 * attestations with a join token alone. An attempt is one request in the tier that `due` names; what it asks besides (a
 * bundle that the answer lacks, a CSR with another common name) it takes from the budget itself.
 */
export class IdentityKeeper {
  #identity: AgentIdentity | null = null
  #renewAt = 0
  #restored = false
  /** Renewal was refused, or a fresh join token is there: the next attempt attests the node. */
  #attestNext = false
  readonly #pace: AttemptPace
  readonly #unsaved: UnsavedIdentity
  #trouble: Trouble | null = null
  #locked: (Trouble & { readonly tokenDigest: string | null }) | null = null
  /** By the clock that never jumps. */
  #lookedAt = Number.NEGATIVE_INFINITY
  #expirySaid = false
  /** What was current when the listeners were last told. */
  #told: AgentIdentity | null = null
  #running: Promise<void> | null = null
  readonly #startedAt: number
  readonly #listeners = new Set<() => void>()

  constructor(private readonly options: KeeperOptions) {
    this.#startedAt = options.clock.now()
    this.#pace = new AttemptPace(options)
    this.#unsaved = new UnsavedIdentity(options)
  }

  /** Reads what is on disk; call it once, before anything else. Throws `file.io` where the disk does not answer. */
  async restore(): Promise<void> {
    const { file, events, clock } = this.options
    const { identity, pending, setAside } = await file.load(clock.now())
    if (setAside) events.setAside(setAside)
    if (pending?.token && !pending.answer) events.unfinished(pending.token.at)
    if (identity) {
      this.#adopt(identity)
      events.restored(identity)
    }
    this.#restored = true
    this.#notify()
  }

  /** The identity to present, or null while there is none that is valid now. */
  current(): AgentIdentity | null {
    return this.#identity && validAt(this.#identity, this.options.clock.now()) ? this.#identity : null
  }

  state(): IdentityState {
    const { clock, skew } = this.options
    const standing = { identity: this.#identity, trouble: this.#trouble, locked: this.#locked, skewMs: skew() }
    return stateOf({ ...standing, unsaved: this.#unsaved.trouble, startedAt: this.#startedAt }, clock.now())
  }

  /**
   * Calls back after every change of the identity or the state; where time alone makes the identity valid or ends it,
   * only while `run` runs, and a little later than `current`.
   */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /** When the next attempt is worth it; null before `restore`. */
  due(now: number): Due | null {
    if (!this.#restored) return null
    const step = this.#step(now)
    const at = step === 'renew' ? this.#renewAt : step === 'wait' ? (this.#clockWait(now) ?? now) : now
    const wait = this.#pace.waitFor(step === 'attest' ? 'attest' : 'other')
    const renewal = renewalTier(this.#identity?.workspace ?? false)
    const tier = step === 'renew' ? renewal : step === 'complete' ? 'open' : 'bootstrap'
    return { at: Math.max(at, now + wait), urgent: this.current() === null, tier }
  }

  /** The server answers again: an attempt that failed for want of an answer need not wait. */
  serverReturned(): void {
    if (this.#locked || !this.#trouble || !SILENCE.has(this.#trouble.error.code)) return
    this.#pace.reset()
    this.#notify()
  }

  /**
   * One attempt at what is next, due or not; one at a time, a second call joins the first. A failure is recorded
   * (`state`, `due`) and not thrown: it rejects with the signal's reason, and with defects.
   */
  attempt(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#attempt(signal).finally(() => {
      this.#running = null
    })
    return this.#running
  }

  /** Keeps the identity until the signal aborts; `slot` waits for a place in the budget of requests. */
  async run(signal: AbortSignal, slot: (tier: RequestTier, signal: AbortSignal) => Promise<void>): Promise<void> {
    const { clock, backoff, random, joinTokens } = this.options
    const loop = {
      clock,
      signal,
      onChange: (wake: () => void) => this.subscribe(wake),
      retryAfterMs: (_error: AgentError, failures: number) => delay(failures, backoff, random.fraction()),
    }
    const attempts = keep({
      ...loop,
      nextAt: () => this.due(clock.now())?.at ?? null,
      run: async (running) => {
        const due = this.due(clock.now())
        if (due) await slot(due.tier, running)
        await this.attempt(running)
      },
    })
    const looks = keep({
      ...loop,
      nextAt: () => {
        if (!this.#locked || !joinTokens.watchable) return null
        return clock.now() + Math.max(0, this.#lookedAt + TOKEN_LOOK_MS - clock.monotonic())
      },
      run: () => this.lookForToken(),
    })
    const validity = keep({
      ...loop,
      nextAt: () => (this.current() === this.#told ? turnsAt(this.#identity, clock.now()) : clock.now()),
      run: async () => this.#notify(),
    })
    const writes = this.#unsaved.run(signal, loop.onChange, () => this.#notify())
    await Promise.all([attempts, looks, validity, writes])
  }

  /** Ends a lock-out once there is another join token than the one that was refused. Cheap: one small file is read. */
  async lookForToken(): Promise<void> {
    this.#lookedAt = this.options.clock.monotonic()
    this.#noticeExpiry()
    const found = await this.options.joinTokens.read()
    if (!this.#locked || !found || found.digest === this.#locked.tokenDigest) return
    this.options.events.joinTokenFound()
    this.#locked = null
    this.#attestNext = true
    this.#pace.reset()
    this.#notify()
  }

  #step(now: number): Step {
    if (this.options.steps.unfinished) return 'complete'
    if (!this.#identity) return 'attest'
    // Whatever the server issued now would not be valid by this clock either, and a join token would be spent on it.
    if (this.#clockWait(now) !== null) return 'wait'
    return this.#attestNext || !validAt(this.#identity, now) ? 'attest' : 'renew'
  }

  #clockWait(now: number): number | null {
    const { joinTokens, skew } = this.options
    return this.#identity && clockWait(this.#identity, now, joinTokens.configured ? skew() : null)
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { steps, clock } = this.options
    const step = this.#step(clock.now())
    const identity = this.#identity
    if (step === 'wait' || !this.#restored) return
    try {
      if (step === 'renew' && identity) this.#earned(await steps.renew(identity, signal))
      else this.#earned(step === 'complete' ? await steps.complete(signal) : await steps.attest(signal))
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (!(error instanceof AgentError)) throw error
      if (step === 'attest' && LOCKED_OUT.has(error.code)) this.#lockOut(error)
      else if (step === 'renew' && RENEWAL_REFUSED.has(error.code) && !this.#locked) this.#attestInstead(error)
      else this.#failed(step, error)
    }
    this.#unsaved.look()
    this.#notify()
  }

  #earned({ identity, way }: Earned): void {
    this.#adopt(identity)
    this.#attestNext = false
    this.#pace.reset()
    this.#trouble = null
    this.#locked = null
    if (way === 'attest') this.options.events.attested(identity)
    else this.options.events.renewed(identity)
  }

  #adopt(identity: AgentIdentity): void {
    this.#identity = identity
    this.#expirySaid = false
    this.#renewAt = renewalTime({ ...identity, threshold: this.options.threshold, fraction: identity.spread })
  }

  #attestInstead(error: AgentError): void {
    this.options.events.renewalRefused(error)
    this.#attestNext = true
  }

  #lockOut(error: AgentError): void {
    const { clock, events, steps } = this.options
    const tokenDigest = steps.tokenSent
    if (this.#locked) events.stillLockedOut(error)
    else events.lockedOut(error, this.current())
    this.#locked = { error, since: this.#locked?.since ?? clock.now(), tokenDigest }
    this.#lookedAt = clock.monotonic()
    // What is held may be renewed yet: a gateway may have refused what the server would not.
    this.#attestNext = false
    const perhaps = error.code === 'icp.unauthorized' || this.current() !== null
    this.#pace.lockedOut(tokenDigest === null ? 'nothing' : perhaps ? 'token' : 'consumed_token')
    this.#noticeExpiry()
  }

  #failed(step: Step, error: AgentError): void {
    const { clock, events } = this.options
    // A valid identity may be renewed again by then, which costs no join token.
    this.#attestNext = false
    this.#trouble = { error, since: this.#trouble?.since ?? clock.now() }
    if (this.#locked) {
      events.stillLockedOut(error)
      const refused = step === 'renew' && RENEWAL_REFUSED.has(error.code)
      // Attesting costs nothing without a join token, and keeps its own pace: the refusal may have passed.
      if (refused && this.#locked.tokenDigest === null) this.#attestNext = true
      else if (step === 'attest') this.#pace.lockedOut('token')
      else if (refused) this.#pace.renewalRefused()
      else this.#pace.failed(pauseOf(error))
    } else {
      const wait = this.#pace.failed(pauseOf(error))
      if (step === 'renew' || (step === 'complete' && this.current())) events.renewalFailed(error, wait)
      else events.attestationFailed(error, wait)
    }
    this.#noticeExpiry()
  }

  #noticeExpiry(): void {
    const identity = this.#identity
    if (!identity || this.#expirySaid || this.options.clock.now() < identity.notAfter) return
    this.#expirySaid = true
    this.options.events.expired(identity)
  }

  #notify(): void {
    this.#told = this.current()
    for (const listener of [...this.#listeners]) listener()
  }
}
