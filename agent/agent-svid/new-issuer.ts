import { createHash } from 'node:crypto'
import { type Backoff, delay } from '../lib/backoff.js'
import type { AgentSvid } from './agent-svid.js'

/** Renewals for a new issuer are spread over this time, because all agents of an account learn of it together. */
const SPREAD_MS = 60_000
/** Waits before another renewal if one did not return a certificate of the new issuer. */
const AGAIN: Backoff = { baseMs: 5 * 60_000, capMs: 60 * 60_000 }
/** Minimum time between two renewals because of an issuer, whatever the server says. */
const APART_MS = 60_000
const MAX_KNOWN = 64

interface Tried {
  readonly times: number
  /** By the monotonic clock. */
  readonly notBefore: number
}

/**
 * Issuers that the server's answers name and that did not issue the agent's certificate. From at most five minutes after
 * its issuer changed, the server of the workspace API accepts certificates of the current issuer only: until then a
 * certificate of the old one can be renewed, afterwards it is useless.
 */
export class NewIssuer {
  readonly #tried = new Map<string, Tried>()
  #wanted = new Set<string>()
  /** By the monotonic clock; null: no early renewal. */
  #at: number | null = null
  #last = Number.NEGATIVE_INFINITY

  /** When to renew, by the monotonic clock. */
  get at(): number | null {
    return this.#at
  }

  /** An answer named these authorities (DER). True if a renewal is planned that was not before. */
  named(authorities: readonly Uint8Array[], identity: AgentSvid | null, monotonic: number): boolean {
    if (!identity) return false
    const news = authorities.map(fingerprintOf).filter((found) => {
      const known = identity.authorities.some(({ fingerprint }) => fingerprint === found) || this.#wanted.has(found)
      return !known && monotonic >= (this.#tried.get(found)?.notBefore ?? Number.NEGATIVE_INFINITY)
    })
    for (const found of news) if (this.#wanted.size < MAX_KNOWN) this.#wanted.add(found)
    if (news.length === 0 || this.#at !== null) return false
    this.#at = Math.max(monotonic + identity.spread * SPREAD_MS, this.#last + APART_MS)
    return true
  }

  /** Another certificate is in use. A wanted issuer that it does not chain to may cause another renewal later. */
  renewed(identity: AgentSvid, monotonic: number): void {
    for (const found of this.#wanted) {
      if (identity.authorities.some(({ fingerprint }) => fingerprint === found)) {
        this.#tried.delete(found)
        continue
      }
      const times = this.#tried.get(found)?.times ?? 0
      this.#tried.delete(found)
      this.#tried.set(found, {
        times: times + 1,
        notBefore: monotonic + delay(times + 1, AGAIN, 1),
      })
    }
    for (const [oldest] of this.#tried) if (this.#tried.size > MAX_KNOWN) this.#tried.delete(oldest)
    if (this.#at !== null) this.#last = monotonic
    this.#wanted = new Set()
    this.#at = null
  }
}

function fingerprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex')
}
