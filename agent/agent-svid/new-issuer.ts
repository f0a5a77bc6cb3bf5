import { createHash } from 'node:crypto'
import { type Backoff, delay } from '../lib/backoff.js'
import type { AgentSvid } from './agent-svid.js'

/** Renewals for a new issuer are spread over so long: all agents of an account hear of it at about the same time. */
const SPREAD_MS = 60_000
/** A renewal that brought no certificate of the issuer is repeated after so long, then after twice that, and so on. */
const AGAIN: Backoff = { baseMs: 5 * 60_000, capMs: 60 * 60_000 }
/** Two renewals for the sake of an issuer are so far apart, whatever the server says. */
const APART_MS = 60_000
const MAX_KNOWN = 64

interface Tried {
  readonly times: number
  /** By the clock that never jumps. */
  readonly notBefore: number
}

/**
 * Issuers that answers of the server name and that do not vouch for the agent's certificate. The server of the workspace
 * API verifies agents against its current issuer alone, from at most five minutes after that has changed: until then the
 * certificate of the old one can be renewed, from then on nothing can be done with it.
 */
export class NewIssuer {
  readonly #tried = new Map<string, Tried>()
  #wanted = new Set<string>()
  /** By the clock that never jumps; null: nothing calls for an early renewal. */
  #at: number | null = null
  #last = Number.NEGATIVE_INFINITY

  /** When to renew, by the clock that never jumps. */
  get at(): number | null {
    return this.#at
  }

  /** An answer named these authorities (DER). True where that is news. */
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

  /** Another certificate is in force: what was wanted has been had, or is worth another try later. */
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
