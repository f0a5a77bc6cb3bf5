import type { ErrorCode } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { JwtKey } from '../identity/jwt-svid.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'
import type { EntryIndex } from './entry-index.js'

/** An SVID of an entry with the moment from which it is worth renewing (drawn once per SVID). */
export interface HeldSvid {
  readonly svid: X509Svid
  readonly renewAt: number
}

/**
 * How it stands with an entry's X.509-SVID. An entry without a state is like `wanted` without failures: either nobody
 * has asked for it yet, or its first issuance is under way.
 */
export type EntryState =
  | {
      readonly kind: 'issued'
      readonly held: HeldSvid
      /** A newer SVID of an issuer that other nodes may not know yet, served from `from` on (trust first). */
      readonly next?: { readonly held: HeldSvid; readonly from: number }
      /** Renewal failed so often in a row; the next try is not before `retryAt`. */
      readonly failures?: Failures
      /** The server issues another entry in its place: it is served to its end, and not renewed. */
      readonly shadow?: Shadow
    }
  | { readonly kind: 'wanted'; readonly failures?: Failures; readonly expired?: true }
  | {
      readonly kind: 'refused'
      readonly code: ErrorCode
      readonly message: string
      readonly until: number
      readonly failures: Failures
    }
  | ({ readonly kind: 'shadowed' } & Shadow)

/** The entry that the server issues instead. */
export interface Shadow {
  readonly by: string
  /** The server said so; else it is expected. */
  readonly told?: true
}

export interface Failures {
  readonly count: number
  /** How many of them were the entry's own: it was refused, or others were issued meanwhile. */
  readonly own?: number
  readonly retryAt: number
  readonly code: ErrorCode
}

/** All that the agent serves from, as one immutable value: sync publishes a new one, the API reads the current one. */
export interface Snapshot {
  /** False until the entries were synced once or restored from the sealed cache. */
  readonly synced: boolean
  readonly entries: ReadonlyMap<string, Entry>
  readonly index: EntryIndex
  readonly states: ReadonlyMap<string, EntryState>
  readonly bundles: BundleSet
  /** Keys of JWT-SVIDs, of every trust domain that is served; the same array as long as nothing changes. */
  readonly jwtKeys: readonly JwtKey[]
  /** Why nothing can be issued now though the server is there, in words for a caller; absent or null: nothing is known of that. */
  readonly withheld?: string | null
}

/** What a publication changed; `entries: 'all'` when the set of entries itself changed and matches must be redone. */
export interface Change {
  readonly entries: ReadonlySet<string> | 'all'
  readonly bundles: boolean
}
