import { createHash } from 'node:crypto'
import { AgentError } from '../errors.js'
import { parseAuthority } from './authority.js'
import type { Authority } from './trust-bundle.js'

/** A certificate of a bundle that is not an authority, and why. */
export interface Skipped {
  /** Lower-case hex SHA-256 of the received bytes. */
  readonly fingerprint: string
  readonly error: AgentError
}

export interface Usable {
  readonly authorities: readonly Authority[]
  readonly skipped: readonly Skipped[]
}

/**
 * The authorities in a bundle of the server. Other certificates in it are left out, which is safe: an SVID must chain to
 * one of the remaining authorities.
 */
export function usableAuthorities(bundle: readonly Uint8Array[]): Usable {
  const authorities: Authority[] = []
  const skipped: Skipped[] = []
  for (const der of bundle) {
    try {
      authorities.push(parseAuthority(der))
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      skipped.push({ fingerprint: createHash('sha256').update(der).digest('hex'), error })
    }
  }
  return { authorities, skipped }
}
