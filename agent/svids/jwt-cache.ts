import type { Secret } from '../crypto/secret.js'
import type { SpiffeId } from '../identity/spiffe-id.js'

/** A JWT-SVID that was issued to us and verified. Times by the wall clock, in milliseconds. */
export interface HeldJwt {
  readonly spiffeId: SpiffeId
  readonly token: Secret
  readonly audience: readonly string[]
  /** `jti`, or the SHA-256 of the token where it has none. */
  readonly id: string
  readonly issuedAt: number
  readonly expiresAt: number
}

/** What a token is for: an entry's identity, as it is now, and a set of audiences. */
export interface JwtSubject {
  readonly entryId: string
  readonly spiffeId: SpiffeId
  /** Sorted, without repetition. */
  readonly audience: readonly string[]
}

interface CachedJwt {
  readonly subject: JwtSubject
  readonly held: HeldJwt
  lastUsed: number
  /** The token was handed out: a successor will be wanted. */
  used: boolean
}

/** At most so many sets of audiences an entry; the one unused for longest makes room. */
export const MAX_AUDIENCE_SETS = 32

/** Tokens by entry and audiences. A token is good until it expires, and fresh until half its life has passed. */
export class JwtCache {
  readonly #byEntry = new Map<string, Map<string, CachedJwt>>()

  /** The token, if it has not expired and is for this identity; noting that it was asked for. */
  use(subject: JwtSubject, now: number): HeldJwt | null {
    const slot = this.#byEntry.get(subject.entryId)?.get(keyOf(subject))
    // An entry may come to name another identity: what was issued before is nobody's then.
    if (!slot || now >= slot.held.expiresAt || !slot.held.spiffeId.equals(subject.spiffeId)) return null
    slot.lastUsed = now
    slot.used = true
    return slot.held
  }

  /** Keeps a token. `handedOut`: somebody waited for it. */
  put(subject: JwtSubject, held: HeldJwt, now: number, { handedOut }: { readonly handedOut: boolean }): void {
    const slots = this.#byEntry.get(subject.entryId) ?? new Map<string, CachedJwt>()
    this.#byEntry.set(subject.entryId, slots)
    const key = keyOf(subject)
    const before = slots.get(key)
    if (!before && slots.size >= MAX_AUDIENCE_SETS) slots.delete(leastUsed(slots))
    slots.set(key, { subject, held, lastUsed: handedOut ? now : (before?.lastUsed ?? now), used: handedOut })
  }

  /** Tokens that were handed out and have passed half their life, soonest expiry first. */
  ageing(now: number): readonly JwtSubject[] {
    return [...this.#slots()]
      .filter(({ held, used }) => used && now < held.expiresAt && !fresh(held, now))
      .sort((a, b) => a.held.expiresAt - b.held.expiresAt)
      .map(({ subject }) => subject)
  }

  /** The wall-clock moment at which the next token has passed half its life; infinite when there is none. */
  nextAgeing(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const { held } of this.#slots()) {
      if (now < halfLife(held)) next = Math.min(next, halfLife(held))
    }
    return next
  }

  /** Forgets what has expired, and tokens of identities that entries name no longer. */
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

/** Not yet half its life: worth no request. */
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
