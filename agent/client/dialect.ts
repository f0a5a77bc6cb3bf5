import type { KeyObject } from 'node:crypto'
import type { DescService } from '@bufbuild/protobuf'

/** The two encodings of the Workload API that an agent serves on one socket. */
export type DialectName = 'spiffe' | 'authsec'

/** One X.509-SVID as it was received: well-formed, but not verified. */
export interface RawSvid {
  readonly spiffeId: string
  /** Empty where there is none; the AuthSec dialect has none. */
  readonly hint: string
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly key: KeyObject
  /** DER of the authorities of the SVID's own trust domain. */
  readonly bundle: readonly Uint8Array[]
}

/** DER of the authorities by trust domain (its name, without the scheme). */
export type RawBundles = ReadonlyMap<string, readonly Uint8Array[]>

/** One JWT-SVID as it was received. */
export interface RawJwtSvid {
  readonly spiffeId: string
  readonly hint: string
  readonly svid: string
}

/** A message of FetchX509SVID. */
export interface RawX509Svids {
  readonly svids: readonly RawSvid[]
  readonly federated: RawBundles
}

/** What differs between the dialects, as a client sees it. Readers throw for what is malformed. */
export interface ClientDialect {
  readonly name: DialectName
  readonly service: DescService
  /** Sent with each call. */
  readonly metadata: Readonly<Record<string, string>>
  x509Svids(message: Uint8Array): RawX509Svids
  x509Bundles(message: Uint8Array): RawBundles
  /** An empty `spiffeId`: every identity of the process. */
  jwtSvidRequest(audience: readonly string[], spiffeId: string): Uint8Array
  jwtSvids(message: Uint8Array): readonly RawJwtSvid[]
  /** JWKS by trust domain. */
  jwtBundles(message: Uint8Array): ReadonlyMap<string, Uint8Array>
  validateRequest(audience: string, svid: string): Uint8Array
  validated(message: Uint8Array): { readonly spiffeId: string; readonly claims: Readonly<Record<string, unknown>> }
}
