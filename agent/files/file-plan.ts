import type { Secret } from '../crypto/secret.js'

/** A JWT-SVID in a file of its own. */
export interface JwtFile {
  readonly name: string
  readonly audience: readonly string[]
}

/** The names of the files to write; null: not written. */
export interface FilePlan {
  readonly certificate: string | null
  readonly key: string | null
  readonly bundle: string | null
  /** Certificate, intermediates and key in one file. */
  readonly combined: string | null
  readonly keystore: string | null
  readonly truststore: string | null
  /** Of the PKCS#12 stores. */
  readonly password: Secret | null
  readonly jwtSvids: readonly JwtFile[]
  readonly jwks: string | null
  /** `base64`: one object with the key set of each trust domain, as spiffe-helper writes it. */
  readonly jwksForm: 'jwks' | 'base64'
  /** Other trust domains: in a file each, among the authorities of the bundle, or not written. */
  readonly federated: 'files' | 'merged' | 'none'
  /** Writes intermediates into the bundle, as spiffe-helper can, instead of after the certificate. */
  readonly intermediatesInBundle: boolean
  readonly modes: FileModes
}

/** Permission bits by the content of a file. */
export interface FileModes {
  /** Certificates and bundles. */
  readonly certificate: number
  /** Files with a private key. */
  readonly key: number
  readonly jwtSvid: number
  readonly jwks: number
}

export const DEFAULT_MODES: FileModes = { certificate: 0o644, key: 0o600, jwtSvid: 0o600, jwks: 0o644 }

/** Sets of names that common programs expect. */
export const NAME_SETS = {
  spiffe: { certificate: 'svid.pem', key: 'svid_key.pem', bundle: 'svid_bundle.pem' },
  kubernetes: { certificate: 'tls.crt', key: 'tls.key', bundle: 'ca.crt' },
  istio: { certificate: 'cert-chain.pem', key: 'key.pem', bundle: 'root-cert.pem' },
} as const satisfies Record<string, Pick<FilePlan, 'certificate' | 'key' | 'bundle'>>

/** The default files. */
export const DEFAULT_PLAN: FilePlan = {
  ...NAME_SETS.spiffe,
  combined: 'combined.pem',
  keystore: null,
  truststore: null,
  password: null,
  jwtSvids: [],
  jwks: null,
  jwksForm: 'jwks',
  federated: 'files',
  intermediatesInBundle: false,
  modes: DEFAULT_MODES,
}

/** Whether the plan includes parts of an X.509-SVID. */
export function wantsX509(plan: FilePlan): boolean {
  const { certificate, key, bundle, combined, keystore, truststore } = plan
  return [certificate, key, bundle, combined, keystore, truststore].some((name) => name !== null)
}

/** Every name that a plan gives. */
export function namesOf(plan: FilePlan): readonly string[] {
  const { certificate, key, bundle, combined, keystore, truststore, jwks, jwtSvids } = plan
  const single = [certificate, key, bundle, combined, keystore, truststore, jwks]
  return [...single.filter((name) => name !== null), ...jwtSvids.map(({ name }) => name)]
}

/** Why a file name is not allowed, or null. Names that begin with two dots are reserved for switching. */
export function faultOfName(name: string): string | null {
  if (name === '' || name.includes('/') || name.includes('\0')) return 'must be the name of a file in the directory'
  if (name === '.' || name.startsWith('..')) return 'must not begin with two dots'
  return Buffer.byteLength(name) > 200 ? 'is longer than 200 bytes' : null
}
