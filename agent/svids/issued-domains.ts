import { AgentError } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { X509Svid } from '../identity/x509-svid.js'

/**
 * The trust domains of the SVIDs that the server issues. Some servers take entries of other domains too, and fail to
 * issue for them for ever without saying why.
 */
export class IssuedDomains {
  readonly #domains = new Set<string>()

  /** True where the SVID is of another domain than all before. */
  seen({ spiffeId }: Pick<X509Svid, 'spiffeId'>): boolean {
    const another = this.#domains.size > 0 && !this.#domains.has(spiffeId.trustDomain)
    this.#domains.add(spiffeId.trustDomain)
    return another
  }

  /** Why the entry cannot be issued, while others are: with the trust domain named, if that is what differs. */
  explain({ spiffeId }: Pick<Entry, 'spiffeId'>, error: AgentError): AgentError {
    const differs = this.#domains.size > 0 && !this.#domains.has(spiffeId.trustDomain)
    if (!differs || error.code !== 'icp.server_error') return error
    const issued = [...this.#domains].sort().join(', ')
    return new AgentError(
      'entry.trust_domain',
      `the SPIFFE ID is in the trust domain ${spiffeId.trustDomain}, and this server issues SVIDs in ${issued} only ` +
        '(a JWT-SVID may be issued for it): register the workload with a SPIFFE ID in that trust domain',
      { cause: error, details: error.details },
    )
  }
}
