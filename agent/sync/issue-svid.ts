import type { KeyObject } from 'node:crypto'
import { createCsr } from '../crypto/csr.js'
import type { KeySource } from '../crypto/keys.js'
import { AgentError } from '../errors.js'
import type { ControlPlane, IssuedCertificate } from '../icp/control-plane.js'
import { parseAuthority } from '../identity/authority.js'
import type { Entry } from '../identity/entry.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Authority } from '../identity/trust-bundle.js'
import { verifyX509Svid } from '../identity/verify-svid.js'
import type { X509Svid } from '../identity/x509-svid.js'

/** Tries common names by the policy in force, the one that worked last first. */
export type WithCommonName = <T>(attempt: (commonName: string) => Promise<T>) => Promise<T>

export interface IssueOptions {
  readonly keys: KeySource
  readonly controlPlane: Pick<ControlPlane, 'signWorkload' | 'bundle'>
  readonly withCommonName: WithCommonName
  /** Authorities that are trusted already. */
  readonly known: readonly Authority[]
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
  const own = await options.keys.take(signal)
  const answer = await options.withCommonName(async (commonName) => {
    const csrPem = await createCsr({ key: own, uri: entry.spiffeId.uri, commonName })
    return await options.controlPlane.signWorkload({ agent, selectors: entry.selectors, csrPem }, signal)
  })
  if (answer.spiffeId !== entry.spiffeId.uri) {
    throw new AgentError('entry.shadowed', 'the server issued the identity of another entry with these selectors')
  }
  let named = answer.bundle.map(parseAuthority)
  // Some servers send no bundle along; then the published one says who the issuer is.
  if (named.length === 0 && options.known.length === 0) {
    named = (await options.controlPlane.bundle(signal)).map(parseAuthority)
  }
  const svid = verifyX509Svid({
    chain: answer.chain,
    key: keyFor(answer, own),
    expected: entry.spiffeId,
    named: answer.spiffeId,
    // An answer that names authorities names the issuer among them, or it contradicts itself.
    authorities: named.length > 0 ? named : options.known,
    now: options.now(),
  })
  return { svid, named }
}

/** The oldest servers make the key themselves; whether it is the certificate's is for the verification to say. */
function keyFor(answer: IssuedCertificate, own: KeyObject): KeyObject {
  return answer.serverKey?.reveal() ?? own
}
