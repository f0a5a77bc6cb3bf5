import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { decodeJwt, errors, exportJWK, type JWTPayload, jwtVerify, SignJWT } from 'jose'

const generate = promisify(generateKeyPair)
const KEY_ID = 'default'
const DEFAULT_TTL_SECONDS = 3600
const MAX_TTL_SECONDS = 86_400
const STANDARD_CLAIMS = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])
/** Names that are not allowed in `custom_claims`. */
const RESERVED_CLAIMS = new Set('role roles perms scopes scope admin is_admin workspace_id tenant_id'.split(' '))

export interface SavedJwts {
  /** PKCS#8 PEM; null until the first token or bundle is requested. */
  readonly jwtKey: string | null
  /** Ids of revoked tokens. */
  readonly revokedJwts: string[]
  /** The valid token id per AI agent: a newer delegation invalidates the older one. */
  readonly delegations: Record<string, string>
}

export interface JwtRequest {
  readonly spiffeId: string
  readonly audience: readonly string[]
  /** 0: one hour. At most 24 hours. */
  readonly ttlSeconds: number
  readonly customClaims: Readonly<Record<string, unknown>>
  /** A token on a user's behalf, which a newer one for the same AI agent invalidates. */
  readonly delegated: boolean
}

export interface SignedJwt {
  readonly token: string
  readonly expiresAt: number
}

/** The JWT-SVIDs of the account: RS256, `iss` is the account, and no `kid` in the header unless configured. */
export class DevJwtSvids {
  #key: Promise<KeyObject> | null
  #savedKey: string | null
  readonly #revoked: Set<string>
  readonly #delegations: Map<string, string>

  constructor(
    private readonly accountId: string,
    private readonly withKid: boolean,
    saved: SavedJwts = { jwtKey: null, revokedJwts: [], delegations: {} },
  ) {
    this.#savedKey = saved.jwtKey
    this.#key = saved.jwtKey === null ? null : Promise.resolve(createPrivateKey(saved.jwtKey))
    this.#revoked = new Set(saved.revokedJwts)
    this.#delegations = new Map(Object.entries(saved.delegations))
  }

  /** False until the first token or bundle is requested; then the key must be saved. */
  get hasKey(): boolean {
    return this.#savedKey !== null
  }

  save(): SavedJwts {
    return {
      jwtKey: this.#savedKey,
      revokedJwts: [...this.#revoked],
      delegations: Object.fromEntries(this.#delegations),
    }
  }

  async issue(request: JwtRequest, now: number): Promise<SignedJwt> {
    const issuedAt = Math.floor(now / 1000)
    const asked = request.ttlSeconds === 0 ? DEFAULT_TTL_SECONDS : request.ttlSeconds
    const expiresAt = issuedAt + (asked > 0 ? Math.min(asked, MAX_TTL_SECONDS) : MAX_TTL_SECONDS)
    const jti = randomUUID()
    const custom = Object.entries(request.customClaims).filter(
      ([name]) => !STANDARD_CLAIMS.has(name) && !RESERVED_CLAIMS.has(name.toLowerCase()),
    )
    const token = await new SignJWT({ ...Object.fromEntries(custom), aud: [...request.audience] })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...(this.withKid ? { kid: KEY_ID } : {}) })
      .setIssuer(`spiffe://${this.accountId}`)
      .setSubject(request.spiffeId)
      .setJti(jti)
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt)
      .setExpirationTime(expiresAt)
      .sign(await this.#signingKey())
    if (request.delegated) this.#delegate(request.spiffeId, jti)
    return { token, expiresAt: expiresAt * 1000 }
  }

  /** The claims of a valid token, else null. An empty audience is not compared. */
  async validate(token: string, audience: string, now: number): Promise<JWTPayload | null> {
    try {
      const { payload } = await jwtVerify(token, createPublicKey(await this.#signingKey()), {
        algorithms: ['RS256', 'RS384', 'RS512'],
        currentDate: new Date(now),
        requiredClaims: ['exp'],
        ...(audience === '' ? {} : { audience }),
      })
      return this.#revoked.has(payload.jti ?? '') ? null : payload
    } catch (error) {
      if (error instanceof errors.JOSEError) return null
      throw error
    }
  }

  /** Revokes the token. */
  revoke(token: string): void {
    const { jti } = decodeJwt(token)
    if (jti !== undefined) this.#revoked.add(jti)
  }

  async jwks(): Promise<{ keys: object[] }> {
    const { kty, n, e } = await exportJWK(createPublicKey(await this.#signingKey()))
    return { keys: [{ kty, use: 'sig', kid: KEY_ID, alg: 'RS256', n, e }] }
  }

  #signingKey(): Promise<KeyObject> {
    this.#key ??= generate('rsa', { modulusLength: 2048 }).then(({ privateKey }) => {
      this.#savedKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      return privateKey
    })
    return this.#key
  }

  #delegate(spiffeId: string, jti: string): void {
    const before = this.#delegations.get(spiffeId)
    if (before !== undefined) this.#revoked.add(before)
    this.#delegations.set(spiffeId, jti)
  }
}
