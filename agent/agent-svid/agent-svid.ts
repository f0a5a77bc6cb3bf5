import type { KeyObject } from 'node:crypto'
import { parseCertificate } from '../crypto/certificate.js'
import { pkcs8Pem } from '../crypto/keys.js'
import { certificatesPem } from '../crypto/pem.js'
import type { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Authority } from '../identity/trust-bundle.js'
import { usableAuthorities } from '../identity/usable-authorities.js'
import { verifyX509Svid } from '../identity/verify-svid.js'

/** The agent's own X.509-SVID with what the server knows the node by; verified when it was made, never otherwise. */
export interface AgentSvid {
  /** What the server calls this node (a UUID), wanted for renewal; not the SPIFFE ID. */
  readonly agentId: string
  readonly spiffeId: SpiffeId
  /** DER, leaf first, intermediates after; no trust anchor. */
  readonly chain: readonly Uint8Array[]
  readonly key: Secret<KeyObject>
  readonly serial: string
  readonly notBefore: number
  readonly notAfter: number
  /** When the certificate arrived, by the wall clock: from then on its life is counted. */
  readonly receivedAt: number
  /** In [0, 1), drawn once for this certificate: when within its window it is renewed. */
  readonly spread: number
  /** The authorities that vouch for it, as the server sent them. */
  readonly authorities: readonly Authority[]
  /** True when the server named a workspace: the newer generation. */
  readonly workspace: boolean
  /** Digest of the join token that earned it, which the server takes no second time. */
  readonly tokenDigest: string | null
}

/** The parts of an agent SVID before they are verified. */
export interface UnverifiedAgentSvid extends Omit<AgentSvid, 'serial' | 'notBefore' | 'notAfter' | 'authorities'> {
  /** The SPIFFE ID that the answer named. */
  readonly named: string
  /** DER. */
  readonly authorities: readonly Uint8Array[]
}

/** A certificate may begin so far in the future: clocks differ. */
export const SKEW_MS = 60_000

/**
 * The identity, if its certificate is for `spiffeId` and the key, chains to one of the authorities and is valid at
 * `now`. Throws `svid.invalid` (with `details.check`) or `svid.issuer_unknown`.
 */
export function verifyAgentSvid({ named, ...claimed }: UnverifiedAgentSvid, now: number): AgentSvid {
  const authorities = authoritiesOf(claimed.authorities)
  const { chain, serial, notBefore, notAfter } = verifyX509Svid({
    chain: claimed.chain,
    key: claimed.key.reveal(),
    expected: claimed.spiffeId,
    named,
    authorities,
    now,
    skewMs: SKEW_MS,
  })
  return { ...claimed, chain, serial, notBefore, notAfter, authorities }
}

/**
 * The same for what comes back from disk, whose time may be over or, by a clock that is not set yet, not have come:
 * everything is judged as of a moment within the certificate's life. Whether that life is now is asked of `validAt`.
 */
export function verifyStored(claimed: UnverifiedAgentSvid, now: number): AgentSvid {
  const [leaf] = claimed.chain
  if (!leaf) throw new AgentError('svid.invalid', 'the stored chain is empty')
  const { notBefore, notAfter } = parseCertificate(leaf)
  return verifyAgentSvid(claimed, Math.min(Math.max(now, notBefore), notAfter - 1))
}

/** True when the certificate can be presented at `now`. */
export function validAt(identity: AgentSvid, now: number): boolean {
  return now >= identity.notBefore - SKEW_MS && now < identity.notAfter
}

/**
 * The client certificate in the form that TLS wants. The key leaves its Secret here: hand it to TLS and nobody else.
 */
export function tlsIdentity(identity: AgentSvid): { readonly certificate: string; readonly key: string } {
  return {
    certificate: certificatesPem(identity.chain),
    key: pkcs8Pem(identity.key.reveal()),
  }
}

function authoritiesOf(bundle: readonly Uint8Array[]): readonly Authority[] {
  const { authorities, skipped } = usableAuthorities(bundle)
  if (authorities.length > 0) return authorities
  throw new AgentError(
    'svid.issuer_unknown',
    `the server named no ${bundle.length === 0 ? '' : 'usable '}authority for the agent's certificate, neither in its answer nor at /bundle`,
    { cause: skipped[0]?.error },
  )
}
