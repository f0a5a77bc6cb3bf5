import { certificatesPem } from '../crypto/pem.js'

/** One X.509 authority of a trust domain, parsed once. */
export interface Authority {
  readonly der: Uint8Array
  /** Lower-case hex SHA-256 of the DER. */
  readonly fingerprint: string
  readonly notBefore: number
  readonly notAfter: number
}

/** The authorities of one trust domain, ordered by when they were first seen. Immutable; a change makes a new value. */
export interface TrustBundle {
  readonly trustDomain: string
  readonly authorities: readonly Authority[]
}

/** All bundles that the agent serves, by trust domain. The same object as long as nothing changes. */
export type BundleSet = ReadonlyMap<string, TrustBundle>

export function sameAuthorities(a: readonly Authority[], b: readonly Authority[]): boolean {
  return a.length === b.length && a.every((authority, i) => authority.fingerprint === b[i]?.fingerprint)
}

/** Its authorities as PEM, one after the other. */
export function bundlePem({ authorities }: TrustBundle): string {
  return certificatesPem(authorities.map(({ der }) => der))
}
