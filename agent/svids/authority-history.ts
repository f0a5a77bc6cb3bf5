import type { Authority, BundleSet, TrustBundle } from '../identity/trust-bundle.js'
import { sameAuthorities } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'

/** Agents' own certificates live one hour; workloads' at least are assumed to. */
const SHORTEST_KEEP_MS = 3_600_000
/** Clocks of other nodes may differ from ours by so much. */
const SKEW_MS = 60_000

/** What is remembered of one authority of the account's CA. Times by the wall clock. */
export interface BookLine {
  readonly authority: Authority
  readonly firstSeen: number
  /** When the server last named it, or issued something to us from it. */
  readonly lastActive: number
}

/** The book as plain values, for the sealed cache. */
export interface BookPage {
  readonly lines: readonly BookLine[]
  /** Trust domains of verified SVIDs, with the end of the last one. */
  readonly domains: ReadonlyMap<string, number>
  readonly longestLifeMs: number
}

/**
 * Which authorities are trusted, and for which trust domains. Immutable. The server names only its current issuer, so
 * one that it names no longer is kept until it expires or the longest SVID life seen has passed since it was last
 * active: other nodes may still show its SVIDs. It speaks for the account and for trust domains of SVIDs that were
 * issued and verified, never for one that merely stands in an entry.
 */
export class AuthorityBook {
  static empty(account: string): AuthorityBook {
    return new AuthorityBook(account, { lines: [], domains: new Map(), longestLifeMs: SHORTEST_KEEP_MS })
  }

  constructor(
    private readonly account: string,
    readonly page: BookPage,
  ) {}

  get authorities(): readonly Authority[] {
    return this.page.lines.map((line) => line.authority)
  }

  /** Fingerprint of the authority that was seen last: it issues now, as far as is known. Null where none is known. */
  get newest(): string | null {
    let newest: BookLine | null = null
    for (const line of this.page.lines) if (!newest || line.firstSeen >= newest.firstSeen) newest = line
    return newest?.authority.fingerprint ?? null
  }

  /** The server named these as its issuers. */
  named(authorities: readonly Authority[], now: number): AuthorityBook {
    const lines = this.page.lines.map((line) =>
      authorities.some((authority) => authority.fingerprint === line.authority.fingerprint)
        ? { ...line, lastActive: now }
        : line,
    )
    for (const authority of authorities) {
      if (lines.some((line) => line.authority.fingerprint === authority.fingerprint)) continue
      lines.push({ authority, firstSeen: now, lastActive: now })
    }
    return this.#with({ lines })
  }

  /** An SVID of the trust domain, JWT or X.509, was issued and verified, and lives until then. */
  spokeFor(trustDomain: string, until: number): AuthorityBook {
    if ((this.page.domains.get(trustDomain) ?? 0) >= until) return this
    return this.#with({ domains: new Map(this.page.domains).set(trustDomain, until) })
  }

  /** An SVID was issued and verified: its authority is active, and speaks for its trust domain. */
  issued(svid: X509Svid, now: number): AuthorityBook {
    const domains = new Map(this.page.domains)
    domains.set(svid.spiffeId.trustDomain, Math.max(svid.notAfter, domains.get(svid.spiffeId.trustDomain) ?? 0))
    return this.#with({
      lines: this.page.lines.map((line) =>
        line.authority.fingerprint === svid.authority ? { ...line, lastActive: now } : line,
      ),
      domains,
      longestLifeMs: Math.max(this.page.longestLifeMs, svid.notAfter - svid.notBefore),
    })
  }

  /** With what an earlier run knew besides: of either, whatever lasts longer. */
  merged({ lines: earlier, domains: ends, longestLifeMs }: BookPage): AuthorityBook {
    const lines = new Map(earlier.map((line) => [line.authority.fingerprint, line]))
    for (const line of this.page.lines) {
      const { fingerprint } = line.authority
      const known = lines.get(fingerprint) ?? line
      const firstSeen = Math.min(known.firstSeen, line.firstSeen)
      lines.set(fingerprint, { ...line, firstSeen, lastActive: Math.max(known.lastActive, line.lastActive) })
    }
    const domains = new Map(ends)
    for (const [domain, end] of this.page.domains) domains.set(domain, Math.max(end, domains.get(domain) ?? 0))
    const longest = Math.max(this.page.longestLifeMs, longestLifeMs)
    return this.#with({ lines: [...lines.values()], domains, longestLifeMs: longest })
  }

  /**
   * Without what has had its time; the same object where nothing has. An authority goes when it has expired, or when
   * the server has named others for as long as its SVIDs may live. The time that counts is that of the server's last
   * word: while it is away nothing is withdrawn. Nor is what `inUse` names, the issuers of SVIDs that are served here.
   */
  pruned(now: number, inUse: () => ReadonlySet<string> = () => new Set()): AuthorityBook {
    const { longestLifeMs } = this.page
    const heard = Math.min(now, Math.max(...this.page.lines.map(({ lastActive }) => lastActive)))
    const isDue = (line: BookLine) => heard >= line.lastActive + longestLifeMs + SKEW_MS
    const needed = this.page.lines.some(isDue) ? inUse() : new Set<string>()
    const lines = this.page.lines.filter(
      (line) => now < line.authority.notAfter && (!isDue(line) || needed.has(line.authority.fingerprint)),
    )
    const domains = new Map([...this.page.domains].filter(([, lastEnd]) => heard < lastEnd + longestLifeMs))
    if (lines.length === this.page.lines.length && domains.size === this.page.domains.size) return this
    return this.#with({ lines, domains })
  }

  /**
   * The moment from which an SVID of the authority may be shown: `delayMs` after it was first seen, so that other nodes
   * know it by then. The first authority of all is known to whoever knows the account.
   */
  servableFrom(fingerprint: string, delayMs: number): number {
    const line = this.page.lines.find(({ authority }) => authority.fingerprint === fingerprint)
    const oldest = Math.min(...this.page.lines.map(({ firstSeen }) => firstSeen))
    return !line || line.firstSeen === oldest ? 0 : line.firstSeen + delayMs
  }

  /** The bundles to serve; `previous` itself where nothing changed. */
  bundles(previous: BundleSet): BundleSet {
    const { authorities } = this
    if (authorities.length === 0) return previous.size === 0 ? previous : new Map()
    const next = new Map<string, TrustBundle>()
    for (const trustDomain of new Set([this.account, ...this.page.domains.keys()])) {
      const known = previous.get(trustDomain)
      next.set(
        trustDomain,
        known && sameAuthorities(known.authorities, authorities) ? known : { trustDomain, authorities },
      )
    }
    const same = next.size === previous.size && [...next].every(([domain, bundle]) => previous.get(domain) === bundle)
    return same ? previous : next
  }

  #with(parts: Partial<BookPage>): AuthorityBook {
    return new AuthorityBook(this.account, { ...this.page, ...parts })
  }
}
