import { createCsr } from '../crypto/csr.js'
import type { KeySource } from '../crypto/keys.js'
import { Secret } from '../crypto/secret.js'
import { AgentError, isError } from '../errors.js'
import type { WithCommonName } from '../icp/common-name.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { excerpt } from '../icp/excerpt.js'
import { certifiedKey } from '../identity/certified-key.js'
import type { Entry } from '../identity/entry.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Authority } from '../identity/trust-bundle.js'
import { usableAuthorities } from '../identity/usable-authorities.js'
import { verifyX509Svid } from '../identity/verify-svid.js'
import type { X509Svid } from '../identity/x509-svid.js'
import type { SyncEvents } from '../observability/sync-events.js'
import { failureClass } from './failure-class.js'

export interface IssueOptions {
  readonly keys: KeySource
  readonly controlPlane: Pick<ControlPlane, 'signWorkload' | 'bundle'>
  readonly withCommonName: WithCommonName
  /** Authorities that are trusted already. */
  readonly known: readonly Authority[]
  readonly events: Pick<SyncEvents, 'authoritiesSkipped'>
  readonly now: () => number
}

export interface Issued {
  readonly svid: X509Svid
  /** The authorities in the same answer. */
  readonly named: readonly Authority[]
}

/**
 * Requests one X.509-SVID for an entry: a new key, a CSR, and the server's answer, verified before use. The request has
 * exactly the entry's selectors, so that the server finds this entry. Throws `icp.*`, `svid.*`, and `entry.shadowed` if
 * the server issued the identity of another entry.
 */
export async function issueSvid(
  entry: Entry,
  agent: SpiffeId,
  options: IssueOptions,
  signal: AbortSignal,
): Promise<Issued> {
  const ownKey = options.keys.take(signal)
  const csr = async (commonName: string) => createCsr({ key: await ownKey, uri: entry.spiffeId.uri, commonName })
  // Called before any await, so that the rate limiter is charged in the same turn in which the job was planned.
  const answer = await options.withCommonName(
    (commonName) =>
      options.controlPlane.signWorkload({ agent, selectors: entry.selectors, csrPem: csr(commonName) }, signal),
    { entryId: entry.id },
  )
  if (answer.spiffeId !== entry.spiffeId.uri) {
    const message = `the server issued ${excerpt(answer.spiffeId)} for these selectors, the identity of another entry`
    throw new AgentError('entry.shadowed', message, { details: { issued: answer.spiffeId } })
  }
  const key = certifiedKey(answer.chain, new Secret(await ownKey), answer.serverKey).reveal()
  const verified = (authorities: readonly Authority[]) =>
    verifyX509Svid({
      chain: answer.chain,
      key,
      expected: entry.spiffeId,
      named: answer.spiffeId,
      authorities,
      now: options.now(),
    })
  const { authorities: named, skipped } = usableAuthorities(answer.bundle)
  options.events.authoritiesSkipped(skipped)
  // If an answer names authorities, the issuer must be one of them.
  if (named.length > 0) return { svid: verified(named), named }
  try {
    return { svid: verified(options.known), named }
  } catch (error) {
    const refused = isError(error, 'svid.invalid') || isError(error, 'svid.issuer_unknown')
    if (!refused || error.details.check !== 'chain') throw error
  }
  // Some servers send no bundle with the SVID; then the published one has the issuer, also after a rotation.
  const published = await publishedBundle(options, signal)
  return { svid: verified(published), named: published }
}

/** The published bundle; empty if it is missing, which is not a failure of the entry: only the issuer stays unknown. */
async function publishedBundle(options: IssueOptions, signal: AbortSignal): Promise<readonly Authority[]> {
  try {
    const { authorities, skipped } = usableAuthorities(await options.controlPlane.bundle(signal))
    options.events.authoritiesSkipped(skipped)
    return authorities
  } catch (error) {
    if (!(error instanceof AgentError) || failureClass(error.code) === 'no-answer' || error.code === 'icp.rate_limited')
      throw error
    const message = `the issuer of the certificate is in no known bundle: ${error.message}`
    throw new AgentError('svid.issuer_unknown', message, { cause: error })
  }
}
