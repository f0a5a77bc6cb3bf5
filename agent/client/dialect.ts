import type { DescService } from '@bufbuild/protobuf'
import type { DialectName } from './dialect-name.js'
import type { RawBundles, RawJwtSvid, RawX509Svids } from './received.js'

/** The differences between the dialects for a client. Readers throw for malformed messages. */
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
