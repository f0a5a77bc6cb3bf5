import type { Secret } from '../crypto/secret.js'
import type { SpiffeId } from '../identity/spiffe-id.js'

/** A JWT-SVID that was issued to us and verified. Times by the wall clock, in milliseconds. */
export interface HeldJwt {
  readonly spiffeId: SpiffeId
  readonly token: Secret
  readonly audience: readonly string[]
  /** `jti`, or the SHA-256 of the token if it has none. */
  readonly id: string
  readonly issuedAt: number
  readonly expiresAt: number
}

/** The subject of a token: an entry's present identity and a set of audiences. */
export interface JwtSubject {
  readonly entryId: string
  readonly spiffeId: SpiffeId
  /** Sorted, without duplicates. */
  readonly audience: readonly string[]
}

interface CachedJwt {
  readonly subject: JwtSubject
  readonly held: HeldJwt
  lastUsed: number
  /** The token was handed out, so it will be refreshed. */
  used: boolean
}

/** Limit of sets of audiences per entry; the least recently used one is evicted. */
export const MAX_AUDIENCE_SETS = 32

/** Tokens by entry and audiences. A token is valid until it expires, and fresh until half its life has passed. */
export class JwtCache {
  readonly #byEntry = new Map<string, Map<string, CachedJwt>>()

  /** The token, if it has not expired and is for this identity. Marks it as used. */
  use(subject: JwtSubject, now: number): HeldJwt | null {
    const slot = this.#byEntry.get(subject.entryId)?.get(keyOf(subject))
    // If the entry names another identity now, its former tokens must not be handed out.
    if (!slot || now >= slot.held.expiresAt || !slot.held.spiffeId.equals(subject.spiffeId)) return null
    slot.lastUsed = now
    slot.used = true
    return slot.held
  }

  /** Stores a token. `handedOut`: a caller waited for it. */
  put(subject: JwtSubject, held: HeldJwt, now: number, { handedOut }: { readonly handedOut: boolean }): void {
    const slots = this.#byEntry.get(subject.entryId) ?? new Map<string, CachedJwt>()
    this.#byEntry.set(subject.entryId, slots)
    const key = keyOf(subject)
    const before = slots.get(key)
    if (!before && slots.size >= MAX_AUDIENCE_SETS) slots.delete(leastUsed(slots))
    slots.set(key, { subject, held, lastUsed: handedOut ? now : (before?.lastUsed ?? now), used: handedOut })
  }

  /** Used tokens past half their life, soonest expiry first. */
  ageing(now: number): readonly JwtSubject[] {
    return [...this.#slots()]
      .filter(({ held, used }) => used && now < held.expiresAt && !fresh(held, now))
      .sort((a, b) => a.held.expiresAt - b.held.expiresAt)
      .map(({ subject }) => subject)
  }

  /** When the next used token reaches half its life, by the wall clock; infinite if there is none. */
  nextAgeing(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const { held } of this.#slots()) {
      if (now < halfLife(held)) next = Math.min(next, halfLife(held))
    }
    return next
  }

  /** Drops expired tokens, and tokens of identities that entries no longer name. */
  prune(identityOf: (entryId: string) => SpiffeId | undefined, now: number): void {
    for (const [entryId, slots] of this.#byEntry) {
      const identity = identityOf(entryId)
      for (const [key, { held }] of slots) {
        if (!identity?.equals(held.spiffeId) || held.expiresAt <= now) slots.delete(key)
      }
      if (slots.size === 0) this.#byEntry.delete(entryId)
    }
  }

  get size(): number {
    let size = 0
    for (const slots of this.#byEntry.values()) size += slots.size
    return size
  }

  *#slots(): Iterable<CachedJwt> {
    for (const slots of this.#byEntry.values()) yield* slots.values()
  }
}

/** True before half its life: no refresh is needed. */
export function fresh(held: HeldJwt, now: number): boolean {
  return now < halfLife(held)
}

function halfLife({ issuedAt, expiresAt }: HeldJwt): number {
  return issuedAt + (expiresAt - issuedAt) / 2
}

function keyOf({ audience }: JwtSubject): string {
  return JSON.stringify(audience)
}

function leastUsed(slots: ReadonlyMap<string, CachedJwt>): string {
  let oldest = ''
  let since = Number.POSITIVE_INFINITY
  for (const [key, { lastUsed }] of slots) {
    if (lastUsed < since) {
      since = lastUsed
      oldest = key
    }
  }
  return oldest
}
