import type { KeyObject } from 'node:crypto'

/** One X.509-SVID as it was received: well-formed, but not verified. */
export interface RawSvid {
  readonly spiffeId: string
  /** Empty if there is none; the AuthSec dialect has none. */
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
