import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { badRequest, notFound, unauthorized } from './api-error.js'
import type { JoinTokenRecord } from './state.js'

const DEFAULT_TTL_SECONDS = 3600
const MAX_TTL_SECONDS = 7 * 86_400

export interface MintedToken {
  readonly record: JoinTokenRecord
  /** Shown only once. */
  readonly secret: string
}

/** Single-use join tokens of the newer generation. Only their hashes are kept. */
export class JoinTokens {
  readonly #tokens: JoinTokenRecord[]

  constructor(saved: readonly JoinTokenRecord[] = []) {
    this.#tokens = [...saved]
  }

  /** Newest first. */
  list(): JoinTokenRecord[] {
    return this.#tokens.toReversed()
  }

  save(): JoinTokenRecord[] {
    return [...this.#tokens]
  }

  mint(options: { ttlSeconds?: number; description?: string }, now: number): MintedToken {
    const { ttlSeconds = 0, description = '' } = options
    if (ttlSeconds < 0) throw badRequest('ttl_seconds must be positive')
    if (ttlSeconds > MAX_TTL_SECONDS) throw badRequest('ttl exceeds the 7 day maximum')
    const secret = randomBytes(32).toString('base64url')
    const record: JoinTokenRecord = {
      id: randomUUID(),
      hash: hashOf(secret),
      description,
      createdAt: now,
      expiresAt: now + (ttlSeconds || DEFAULT_TTL_SECONDS) * 1000,
      usedAt: null,
      usedByNodeId: '',
      revokedAt: null,
    }
    this.#tokens.push(record)
    return { record, secret }
  }

  /** Consumes the token. One message for every reason, as in the real server (401). */
  consume(secret: string, nodeId: string, now: number): void {
    const hash = hashOf(secret)
    const token = this.#tokens.find((candidate) => candidate.hash === hash)
    if (!token || token.usedAt !== null || token.revokedAt !== null || token.expiresAt <= now) {
      throw unauthorized('Join token is invalid, expired, revoked or already used')
    }
    token.usedAt = now
    token.usedByNodeId = nodeId
  }

  /** 404 if there is no such token or it is already revoked. */
  revoke(id: string, now: number): void {
    const token = this.#tokens.find((candidate) => candidate.id === id && candidate.revokedAt === null)
    if (!token) throw notFound('Join token not found')
    token.revokedAt = now
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
