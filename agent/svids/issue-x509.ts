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
  /** The authorities that came with it. */
  readonly named: readonly Authority[]
}

/**
 * One X.509-SVID for an entry: a new key, a CSR, the server's answer, verified before anybody sees it. The server is
 * sent exactly the entry's selectors, so that it finds this entry and no other. Throws `icp.*`, `svid.*`, and
 * `entry.shadowed` when the server issued the identity of another entry.
 */
export async function issueSvid(
  entry: Entry,
  agent: SpiffeId,
  options: IssueOptions,
  signal: AbortSignal,
): Promise<Issued> {
  const ownKey = options.keys.take(signal)
  const csr = async (commonName: string) => createCsr({ key: await ownKey, uri: entry.spiffeId.uri, commonName })
  // Called before anything is awaited, so that it is charged in the turn in which it was planned.
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
  // An answer that names authorities names the issuer among them, or it contradicts itself.
  if (named.length > 0) return { svid: verified(named), named }
  try {
    return { svid: verified(options.known), named }
  } catch (error) {
    const refused = isError(error, 'svid.invalid') || isError(error, 'svid.issuer_unknown')
    if (!refused || error.details.check !== 'chain') throw error
  }
  // Some servers send no bundle along; then the published one says who the issuer is, after a rotation too.
  const published = await publishedBundle(options, signal)
  return { svid: verified(published), named: published }
}

/** A missing bundle is no failure of the entry: only the issuer stays unknown. */
async function publishedBundle(options: IssueOptions, signal: AbortSignal): Promise<readonly Authority[]> {
  try {
    const { authorities, skipped } = usableAuthorities(await options.controlPlane.bundle(signal))
    options.events.authoritiesSkipped(skipped)
    return authorities
  } catch (error) {
    if (!(error instanceof AgentError) || failureClass(error.code) === 'no-answer' || error.code === 'icp.rate_limited')
      throw error
    const message = `the issuer of the certificate is in no bundle that the agent knows: ${error.message}`
    throw new AgentError('svid.issuer_unknown', message, { cause: error })
  }
}
