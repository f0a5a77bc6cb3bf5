import { createHash } from 'node:crypto'
import { AgentError } from '../errors.js'
import { parseAuthority } from './authority.js'
import type { Authority } from './trust-bundle.js'

/** A certificate of a bundle that is no authority, and why. */
export interface Skipped {
  /** Lower-case hex SHA-256 of what was sent. */
  readonly fingerprint: string
  readonly error: AgentError
}

export interface Usable {
  readonly authorities: readonly Authority[]
  readonly skipped: readonly Skipped[]
}

/**
 * The authorities of a bundle that the server sent. What else stands in it (an odd certificate beside the CA) is left
 * out and takes nothing from them: an SVID is judged by those that are left, and needs its issuer among them.
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
