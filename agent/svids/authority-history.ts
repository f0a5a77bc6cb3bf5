import type { Authority, BundleSet, TrustBundle } from '../identity/trust-bundle.js'
import { sameAuthorities } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'

/** Agents' own certificates live one hour; a shorter life of workloads' SVIDs is treated like one hour. */
const SHORTEST_KEEP_MS = 3_600_000
/** Tolerance for the clocks of other nodes. */
const SKEW_MS = 60_000

/** One authority of the account's CA. Times by the wall clock. */
export interface AuthorityRecord {
  readonly authority: Authority
  readonly firstSeen: number
  /** When the server last named it, or issued an SVID with it. */
  readonly lastActive: number
}

/** The history as plain values, for the sealed cache. */
export interface AuthorityHistoryState {
  readonly records: readonly AuthorityRecord[]
  /** Trust domains of verified SVIDs, with the expiry of the last one. */
  readonly domains: ReadonlyMap<string, number>
  readonly longestLifeMs: number
}

/**
 * Which authorities are trusted, and for which trust domains. Immutable. The server names only its current issuer, so an
 * authority that it no longer names is kept until it expires, or until the longest SVID life seen has passed since it was
 * last active: other nodes may still use its SVIDs. The authorities are trusted for the account and for trust domains of
 * SVIDs that were issued and verified, never for one that only an entry names.
 */
export class AuthorityHistory {
  static empty(account: string): AuthorityHistory {
    return new AuthorityHistory(account, { records: [], domains: new Map(), longestLifeMs: SHORTEST_KEEP_MS })
  }

  constructor(
    private readonly account: string,
    readonly state: AuthorityHistoryState,
  ) {}

  get authorities(): readonly Authority[] {
    return this.state.records.map((record) => record.authority)
  }

  /** Fingerprint of the authority that was seen last, which the server probably issues with now; null: none is known. */
  get newest(): string | null {
    let newest: AuthorityRecord | null = null
    for (const record of this.state.records) if (!newest || record.firstSeen >= newest.firstSeen) newest = record
    return newest?.authority.fingerprint ?? null
  }

  /** The server named these authorities as its issuers. */
  named(authorities: readonly Authority[], now: number): AuthorityHistory {
    const records = this.state.records.map((record) =>
      authorities.some((authority) => authority.fingerprint === record.authority.fingerprint)
        ? { ...record, lastActive: now }
        : record,
    )
    for (const authority of authorities) {
      if (records.some((record) => record.authority.fingerprint === authority.fingerprint)) continue
      records.push({ authority, firstSeen: now, lastActive: now })
    }
    return this.#with({ records })
  }

  /** An SVID of the trust domain, JWT or X.509, was issued and verified; it expires at `until`. */
  markServed(trustDomain: string, until: number): AuthorityHistory {
    if ((this.state.domains.get(trustDomain) ?? 0) >= until) return this
    return this.#with({ domains: new Map(this.state.domains).set(trustDomain, until) })
  }

  /** An SVID was issued and verified: its authority is active, and trusted for its trust domain. */
  issued(svid: X509Svid, now: number): AuthorityHistory {
    const domains = new Map(this.state.domains)
    domains.set(svid.spiffeId.trustDomain, Math.max(svid.notAfter, domains.get(svid.spiffeId.trustDomain) ?? 0))
    return this.#with({
      records: this.state.records.map((record) =>
        record.authority.fingerprint === svid.authority ? { ...record, lastActive: now } : record,
      ),
      domains,
      longestLifeMs: Math.max(this.state.longestLifeMs, svid.notAfter - svid.notBefore),
    })
  }

  /** Merged with the history of an earlier run; of two times, the later one is kept. */
  merged({ records: earlier, domains: ends, longestLifeMs }: AuthorityHistoryState): AuthorityHistory {
    const records = new Map(earlier.map((record) => [record.authority.fingerprint, record]))
    for (const record of this.state.records) {
      const { fingerprint } = record.authority
      const known = records.get(fingerprint) ?? record
      const firstSeen = Math.min(known.firstSeen, record.firstSeen)
      records.set(fingerprint, { ...record, firstSeen, lastActive: Math.max(known.lastActive, record.lastActive) })
    }
    const domains = new Map(ends)
    for (const [domain, end] of this.state.domains) domains.set(domain, Math.max(end, domains.get(domain) ?? 0))
    const longest = Math.max(this.state.longestLifeMs, longestLifeMs)
    return this.#with({ records: [...records.values()], domains, longestLifeMs: longest })
  }

  /**
   * Without authorities that may be removed; the same object if there are none. An authority is removed when it has
   * expired, or when the server has named others for as long as its SVIDs may live. Only time up to the server's last answer
   * counts, so that nothing is withdrawn while the server is unreachable. The issuers of SVIDs that are served here
   * (`inUse`) are kept.
   */
  pruned(now: number, inUse: () => ReadonlySet<string> = () => new Set()): AuthorityHistory {
    const { longestLifeMs } = this.state
    const heard = Math.min(now, Math.max(...this.state.records.map(({ lastActive }) => lastActive)))
    const isDue = (record: AuthorityRecord) => heard >= record.lastActive + longestLifeMs + SKEW_MS
    const needed = this.state.records.some(isDue) ? inUse() : new Set<string>()
    const records = this.state.records.filter(
      (record) => now < record.authority.notAfter && (!isDue(record) || needed.has(record.authority.fingerprint)),
    )
    const domains = new Map([...this.state.domains].filter(([, lastEnd]) => heard < lastEnd + longestLifeMs))
    if (records.length === this.state.records.length && domains.size === this.state.domains.size) return this
    return this.#with({ records, domains })
  }

  /**
   * When an SVID of the authority may be served: `delayMs` after the authority was first seen, so that other nodes know it
   * by then. SVIDs of the very first authority may be served at once: every node of the account has it.
   */
  servableFrom(fingerprint: string, delayMs: number): number {
    const record = this.state.records.find(({ authority }) => authority.fingerprint === fingerprint)
    const oldest = Math.min(...this.state.records.map(({ firstSeen }) => firstSeen))
    return !record || record.firstSeen === oldest ? 0 : record.firstSeen + delayMs
  }

  /** The bundles to serve; `previous` itself if nothing changed. */
  bundles(previous: BundleSet): BundleSet {
    const { authorities } = this
    if (authorities.length === 0) return previous.size === 0 ? previous : new Map()
    const next = new Map<string, TrustBundle>()
    for (const trustDomain of new Set([this.account, ...this.state.domains.keys()])) {
      const known = previous.get(trustDomain)
      next.set(
        trustDomain,
        known && sameAuthorities(known.authorities, authorities) ? known : { trustDomain, authorities },
      )
    }
    const same = next.size === previous.size && [...next].every(([domain, bundle]) => previous.get(domain) === bundle)
    return same ? previous : next
  }

  #with(parts: Partial<AuthorityHistoryState>): AuthorityHistory {
    return new AuthorityHistory(this.account, { ...this.state, ...parts })
  }
}
