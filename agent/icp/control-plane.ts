import type { KeyObject } from 'node:crypto'
import type { Secret } from '../crypto/secret.js'
import type { Entry } from '../identity/entry.js'
import type { Selectors } from '../identity/selector.js'
import type { SpiffeId } from '../identity/spiffe-id.js'

/** The evidence of a node attestation. Secrets inside (a PSAT) are `Secret`s. */
export interface NodeEvidence {
  readonly type: 'unix' | 'docker' | 'kubernetes' | 'join_token'
  readonly evidence: Readonly<Record<string, string | number | Secret>>
  readonly joinToken?: Secret
}

/** Certificates as the server sent them, parsed from PEM to DER but not yet verified. */
export interface IssuedCertificate {
  readonly spiffeId: string
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  /** DER of the authorities that came with it; may be empty. */
  readonly bundle: readonly Uint8Array[]
  /** Only from the oldest servers, which create the key themselves. */
  readonly serverKey?: Secret<KeyObject>
}

export interface AttestedNode extends IssuedCertificate {
  readonly agentId: string
  /** True when the server named a workspace: the newer generation. */
  readonly workspace: boolean
}

export interface IssuedJwt {
  readonly spiffeId: string
  readonly token: Secret
}

export interface JwtValidationAnswer {
  readonly valid: boolean
  readonly spiffeId: string
}

/** A JWK as the server publishes it. */
export type Jwk = Readonly<Record<string, unknown>>

/** The entries of this agent; `unchanged` when the body is the one that was parsed last. */
export interface EntriesAnswer {
  readonly unchanged: boolean
  readonly entries: readonly Entry[]
  /** Entries that could not be used, with the reason; they do not affect the others. */
  readonly rejected: readonly { readonly id: string; readonly reason: string }[]
}

/**
 * A certificate request in PEM, or the promise of one, so that a call is charged to the rate limiter at once while the key
 * and signature are still being made.
 */
export type CsrPem = string | Promise<string>

/**
 * The API of the ICP server that the agent needs, in both generations. Each call is one exchange with its retries. Errors are
 * AgentErrors `icp.*`; `icp.rate_limited` carries `details.retryAfterMs`.
 */
export interface ControlPlane {
  /** Without retries if there is a join token, which the first attempt may consume. */
  attestNode(request: { evidence: NodeEvidence; csrPem: CsrPem }, signal: AbortSignal): Promise<AttestedNode>
  renewAgent(request: { agentId: string; csrPem: CsrPem }, signal: AbortSignal): Promise<IssuedCertificate>
  entries(agent: SpiffeId, signal: AbortSignal): Promise<EntriesAnswer>
  signWorkload(
    request: { agent: SpiffeId; selectors: Selectors; csrPem: CsrPem },
    signal: AbortSignal,
  ): Promise<IssuedCertificate>
  revokeWorkload(serial: string, signal: AbortSignal): Promise<void>
  /** DER of the authorities published at `/bundle/{account}`. */
  bundle(signal: AbortSignal): Promise<readonly Uint8Array[]>
  issueJwt(request: { spiffeId: SpiffeId; audience: readonly string[] }, signal: AbortSignal): Promise<IssuedJwt>
  jwtBundle(signal: AbortSignal): Promise<readonly Jwk[]>
  validateJwt(request: { token: Secret; audience: string }, signal: AbortSignal): Promise<JwtValidationAnswer>
}

/** Milliseconds that the server's clock is ahead of ours, from the last Date header; null before the first answer. */
export type ServerSkew = () => number | null
