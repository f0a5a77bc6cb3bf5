import type { Certificate } from '../crypto/certificate.js'
import { violation } from '../crypto/name-constraints.js'
import { AgentError } from '../errors.js'
import { iso } from '../lib/time.js'
import { authorityProblem, certificateOf } from './authority.js'
import type { Authority } from './trust-bundle.js'

export interface ChainOptions {
  readonly leaf: Certificate
  /** In any order; unneeded ones are ignored. The trust anchor may be among them. */
  readonly intermediates: readonly Certificate[]
  readonly authorities: readonly Authority[]
  /** Milliseconds since 1970. */
  readonly now: number
  /** How far a certificate may begin in the future. */
  readonly skewMs: number
}

export interface VerifiedChain {
  /** Leaf first, each signed by the next; the trust anchor is left out. */
  readonly path: readonly Certificate[]
  readonly anchor: Authority
}

/** A partial path from the leaf up. */
interface Climb {
  readonly path: readonly Certificate[]
  readonly rest: readonly Certificate[]
}

/** Limit of signature checks of one verification: certificates that all seem to sign each other must not stall the agent. */
const MAX_CHECKS = 100

/**
 * A path from the leaf to an authority (RFC 5280 6.1): issuer and subject names equal byte for byte, signatures, times,
 * CA flags, key usages, path lengths and name constraints, the anchor's included. The anchor's own signature is
 * not checked; all others must be strong. Of several paths the function takes one to a self-signed anchor, so that peers
 * who know only the root can verify it.
 * Throws `svid.issuer_unknown` if no authority issued any certificate of the chain, else `svid.invalid`; both with
 * `details.check`.
 */
export function verifyChain(options: ChainOptions): VerifiedChain {
  const problems: string[] = []
  let checks = 0
  const issued = (issuer: Certificate, subject: Certificate): boolean => {
    if (issuer.subject !== subject.issuer || issuer.subjectEmpty) return false
    if (++checks > MAX_CHECKS) throw refused('svid.invalid', 'its chain has too many possible paths')
    return subject.verifySignedBy(issuer)
  }
  const usable = (issuer: Certificate, below: readonly Certificate[]): boolean => {
    const problem = issuerProblem(issuer, below, options)
    if (problem) problems.push(problem)
    return problem === null
  }

  const climb = ({ path, rest }: Climb): VerifiedChain | null => {
    const top = path[path.length - 1] ?? options.leaf
    const weak = weakness(top)
    if (weak !== null) {
      problems.push(weak)
      return null
    }
    const anchors = options.authorities.filter((authority) => {
      const certificate = certificateOf(authority)
      return issued(certificate, top) && usable(certificate, path)
    })
    const root = anchors.find((authority) => selfIssued(certificateOf(authority)))
    if (root) return { path, anchor: root }
    const [nearest] = anchors
    let fallback: VerifiedChain | null = nearest ? { path, anchor: nearest } : null
    for (const next of rest) {
      if (!issued(next, top) || !usable(next, path)) continue
      const found = climb({ path: [...path, next], rest: rest.filter((other) => other !== next) })
      if (found && selfIssued(certificateOf(found.anchor))) return found
      fallback ??= found
    }
    return fallback
  }

  const found = climb({ path: [options.leaf], rest: options.intermediates })
  if (found) return found
  const [problem] = problems
  if (problem) throw refused('svid.invalid', `its issuer may not sign it: ${problem}`)
  throw refused('svid.issuer_unknown', 'its issuer is in no bundle of the agent')
}

/** Why an issuer may not have signed the certificates below it (leaf first); null if it may. */
function issuerProblem(issuer: Certificate, below: readonly Certificate[], options: ChainOptions): string | null {
  const problem = authorityProblem(issuer) ?? timeProblem(issuer, options.now, options.skewMs)
  if (problem) return problem
  const intermediates = below.slice(1).filter((certificate) => !selfIssued(certificate)).length
  if (issuer.pathLength !== null && intermediates > issuer.pathLength) return 'its path length is exceeded'
  for (const [i, certificate] of below.entries()) {
    if (!issuer.nameConstraints || (i > 0 && selfIssued(certificate))) continue
    const reason = violation(issuer.nameConstraints, certificate)
    if (reason) return reason
  }
  return null
}

/** Why the signature algorithm of a certificate is not accepted; null if it is. */
export function weakness({ weakSignature }: Certificate): string | null {
  return weakSignature && `it is signed with ${weakSignature}, which is weak or unknown; SHA-256 or better is needed`
}

/** Why a certificate is not valid now. The skew is allowed only at its beginning: peers on this machine share our clock. */
export function timeProblem(certificate: Certificate, now: number, skewMs: number): string | null {
  if (now + skewMs < certificate.notBefore) {
    return `it is not valid before ${iso(certificate.notBefore)} (is this machine's clock right?)`
  }
  if (now >= certificate.notAfter) return `it expired at ${iso(certificate.notAfter)}`
  return null
}

function selfIssued(certificate: Certificate): boolean {
  return certificate.subject === certificate.issuer
}

function refused(code: 'svid.invalid' | 'svid.issuer_unknown', reason: string): AgentError {
  return new AgentError(code, `certificate rejected: ${reason}`, { details: { check: 'chain' } })
}
