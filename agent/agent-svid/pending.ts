import type { KeyObject } from 'node:crypto'
import type { Secret } from '../crypto/secret.js'

/** What the server answered to an attestation or a renewal; neither verified nor in use. */
export interface Answer {
  readonly agentId: string
  /** The SPIFFE ID that the answer names. */
  readonly named: string
  readonly workspace: boolean
  readonly receivedAt: number
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  /** DER; empty where the server sent none. */
  readonly authorities: readonly Uint8Array[]
}

/** A join token that was sent, and when: from then on the server may have consumed it. */
export interface TokenAtStake {
  readonly digest: string
  readonly at: number
}

/**
 * An attempt whose certificate is not in use yet. It is on disk before its request leaves, so that a process killed at
 * any moment finds its key again, and knows which join token may be gone.
 */
export interface Pending {
  readonly key: Secret<KeyObject>
  /** When the key was made. */
  readonly since: number
  readonly token: TokenAtStake | null
  /**
   * An answer that has arrived but cannot be verified yet, because its issuer is still to be asked for. It is kept:
   * the token that earned it is gone.
   */
  readonly answer: Answer | null
}
