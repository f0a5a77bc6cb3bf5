import { mayPass } from '../client/call-error.js'
import type { HeldJwtSvid, JwtBundleSet } from '../client/jwt.js'
import { MAX_DELAY_MS, type Retry } from '../client/watch.js'
import type { WorkloadApiClient } from '../client/workload-api-client.js'
import type { X509Context } from '../client/x509-context.js'
import { AgentError, messageOf } from '../errors.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import { aborted } from '../lib/abort.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'
import { type FilePlan, type JwtFile, wantsX509 } from './file-plan.js'
import type { Received } from './output-files.js'
import { type Choice, choiceText, pickIdentity } from './pick-identity.js'

export interface PartsOptions {
  readonly client: Pick<WorkloadApiClient, 'watchX509Svids' | 'watchJwtBundles' | 'fetchJwtSvids'>
  readonly clock: Clock
  readonly plan: FilePlan
  readonly choice: Choice
  readonly onRetry: (retry: Retry) => void
}

const STEP_MS = 1_000
/** Minimum time between requests for a token, which is renewed at half of its life. */
const MIN_RENEWAL_MS = 5_000

/** The parts that a plan needs, kept up to date by watches and calls of the Workload API. */
export class ReceivedParts {
  readonly #options: PartsOptions
  readonly #tokens = new Map<string, HeldJwtSvid>()
  #x509: Received['x509'] = null
  #jwks: JwtBundleSet | null = null
  #trustDomain: string | null = null
  #changed: () => void = () => undefined
  #pending = false
  #missed = false

  constructor(options: PartsOptions) {
    this.#options = options
  }

  /**
   * All parts once everything is received, and again after each change; concurrent changes are merged. Ends when the signal
   * aborts; throws permanent errors.
   */
  async *follow(signal: AbortSignal): AsyncGenerator<Received> {
    const ended = new AbortController()
    const either = AbortSignal.any([signal, ended.signal])
    const failure = Promise.all(this.#followers(either)).then(() => undefined)
    // Awaited below, unless the reader leaves first.
    failure.catch(() => undefined)
    try {
      while (!signal.aborted) {
        if (!this.#pending) await Promise.race([this.#change(), failure])
        if (signal.aborted) return
        if (!this.#pending) continue
        this.#pending = false
        const whole = this.#whole()
        if (whole) yield whole
      }
    } finally {
      ended.abort()
    }
  }

  #followers(signal: AbortSignal): Promise<void>[] {
    const { plan } = this.#options
    return [
      aborted(signal),
      ...(wantsX509(plan) ? [this.#followX509(signal)] : []),
      ...(plan.jwks === null ? [] : [this.#followJwks(signal)]),
      ...plan.jwtSvids.map((file) => this.#followToken(file, signal)),
    ]
  }

  async #followX509(signal: AbortSignal): Promise<void> {
    for await (const context of this.#options.client.watchX509Svids(signal)) {
      const held = this.#pick(context)
      if (!held) continue
      this.#x509 = { held, federated: context.federated }
      this.#trustDomain = held.svid.spiffeId.trustDomain
      this.#note()
    }
  }

  #pick(context: X509Context) {
    const { choice, onRetry } = this.#options
    const held = pickIdentity(context.svids, ({ svid }) => svid.spiffeId, choice)
    // Reported once, although other identities may rotate meanwhile.
    if (!held && !this.#missed) onRetry({ error: noSuchIdentity(choice), delayMs: 0, attempt: 1 })
    this.#missed = !held
    return held
  }

  async #followJwks(signal: AbortSignal): Promise<void> {
    for await (const bundles of this.#options.client.watchJwtBundles(signal)) {
      this.#jwks = bundles
      this.#note()
    }
  }

  async #followToken({ name, audience }: JwtFile, signal: AbortSignal): Promise<void> {
    const { clock, onRetry } = this.#options
    for (let failures = 0; !signal.aborted; ) {
      let delayMs: number
      try {
        const token = await this.#token(audience, signal)
        failures = 0
        if (this.#tokens.get(name)?.token.reveal() !== token.token.reveal()) {
          this.#tokens.set(name, token)
          this.#trustDomain ??= token.spiffeId.trustDomain
          this.#note()
        }
        delayMs = Math.max(MIN_RENEWAL_MS, (token.expiresAt - clock.now()) / 2)
      } catch (error) {
        if (signal.aborted) return
        if (!mayPass(error)) throw error
        delayMs = Math.min(MAX_DELAY_MS, ++failures * STEP_MS)
        onRetry({ error, delayMs, attempt: failures })
      }
      await sleepUnlessAborted(clock, delayMs, signal)
    }
  }

  async #token(audience: readonly string[], signal: AbortSignal): Promise<HeldJwtSvid> {
    const { client, choice } = this.#options
    const request = { audience: [...audience], ...(choice.spiffeId === null ? {} : { spiffeId: choice.spiffeId }) }
    const token = pickIdentity(await client.fetchJwtSvids(request, signal), ({ spiffeId }) => spiffeId, choice)
    if (!token) throw noSuchIdentity(choice)
    return token
  }

  #whole(): Received | null {
    const { plan } = this.#options
    if (wantsX509(plan) && !this.#x509) return null
    if (plan.jwks !== null && !this.#jwks) return null
    if (plan.jwtSvids.some(({ name }) => !this.#tokens.has(name))) return null
    const trustDomain = this.#trustDomain ?? this.#named() ?? this.#only()
    return { x509: this.#x509, jwks: this.#jwks, trustDomain, tokens: new Map(this.#tokens) }
  }

  #named(): string | null {
    const { spiffeId } = this.#options.choice
    return spiffeId === null ? null : SpiffeId.parse(spiffeId).trustDomain
  }

  /** The trust domain of the keys if there is only one. */
  #only(): string | null {
    return [...(this.#jwks?.keys() ?? [])][0] ?? null
  }

  #note(): void {
    this.#pending = true
    this.#changed()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = resolve
    })
  }
}

function noSuchIdentity(choice: Choice): AgentError {
  return new AgentError(
    'client.denied',
    `the agent has identities for this process, but none with ${choiceText(choice)}; compare it with what \`icp-agent api fetch x509\` shows`,
  )
}

/** A failure in words, and when the call is made again. */
export function retryText({ error, delayMs }: Pick<Retry, 'error' | 'delayMs'>): string {
  const again = delayMs > 0 ? `; again in ${delayMs / 1000} s` : '; waiting for a change'
  return `${messageOf(error)} [${error.code}]${again}`
}
