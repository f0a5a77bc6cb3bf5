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

/** The agent's own X.509-SVID and the server's id of the node. Every instance is verified; see `verifyAgentSvid`. */
export interface AgentSvid {
  /** The server's id of this node (a UUID), needed for renewal; not the SPIFFE ID. */
  readonly agentId: string
  readonly spiffeId: SpiffeId
  /** DER: the leaf, then intermediates; no trust anchor. */
  readonly chain: readonly Uint8Array[]
  readonly key: Secret<KeyObject>
  readonly serial: string
  readonly notBefore: number
  readonly notAfter: number
  /** When the certificate arrived, by the wall clock; its renewal is counted from then. */
  readonly receivedAt: number
  /** In [0, 1), drawn once for this certificate: the point within the renewal window at which it is renewed. */
  readonly spread: number
  /** The authorities that it chains to, as the server sent them. */
  readonly authorities: readonly Authority[]
  /** True if the server named a workspace: it is of the newer generation. */
  readonly workspace: boolean
  /** Digest of the join token that it was issued for; the server does not accept that token again. */
  readonly tokenDigest: string | null
}

/** The parts of an agent SVID before they are verified. */
export interface UnverifiedAgentSvid extends Omit<AgentSvid, 'serial' | 'notBefore' | 'notAfter' | 'authorities'> {
  /** The SPIFFE ID that the answer named. */
  readonly named: string
  /** DER. */
  readonly authorities: readonly Uint8Array[]
}

/** Tolerance for certificates whose validity begins in the future, because clocks differ. */
export const SKEW_MS = 60_000

/**
 * Checks that the certificate is for `spiffeId` and the key, chains to one of the authorities and is valid at `now`.
 * Throws `svid.invalid` (with `details.check`) or `svid.issuer_unknown`.
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
 * The same for an SVID from disk. It may have expired, or seem not yet valid because the clock is not set, so it is
 * verified as of a moment within its validity; `validAt` says whether it is valid now.
 */
export function verifyStored(claimed: UnverifiedAgentSvid, now: number): AgentSvid {
  const [leaf] = claimed.chain
  if (!leaf) throw new AgentError('svid.invalid', 'the stored chain is empty')
  const { notBefore, notAfter } = parseCertificate(leaf)
  return verifyAgentSvid(claimed, Math.min(Math.max(now, notBefore), notAfter - 1))
}

/** True if the certificate can be presented at `now`. */
export function validAt(identity: AgentSvid, now: number): boolean {
  return now >= identity.notBefore - SKEW_MS && now < identity.notAfter
}

/**
 * The client certificate as PEM for TLS. The key is not a Secret here: pass it to TLS only.
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
