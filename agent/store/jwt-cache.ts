import type { Secret } from '../crypto/secret.js'
import type { SpiffeId } from '../identity/spiffe-id.js'

/** A JWT-SVID that was issued to us and verified. Times by the wall clock, in milliseconds. */
export interface HeldJwt {
  readonly spiffeId: SpiffeId
  readonly token: Secret
  readonly issuedAt: number
  readonly expiresAt: number
}

/** What a token is for: an entry's identity and a set of audiences. */
export interface JwtSubject {
  readonly entryId: string
  /** Sorted, without repetition. */
  readonly audience: readonly string[]
}

interface Slot {
  readonly subject: JwtSubject
  held: HeldJwt | null
  lastUsed: number
}

/** At most so many sets of audiences an entry; the one unused for longest makes room. */
const MAX_AUDIENCE_SETS = 32

/** Tokens by entry and audiences. A token is good until it expires, and fresh until half its life has passed. */
export class JwtCache {
  readonly #byEntry = new Map<string, Map<string, Slot>>()

  /** The token, if it has not expired; noting that it was asked for. */
  use(subject: JwtSubject, now: number): HeldJwt | null {
    const slot = this.#slot(subject, now)
    slot.lastUsed = now
    return slot.held && now < slot.held.expiresAt ? slot.held : null
  }

  put(subject: JwtSubject, held: HeldJwt, now: number): void {
    this.#slot(subject, now).held = held
  }

  /** Tokens that were used since they were issued and have passed half their life, soonest expiry first. */
  ageing(now: number): readonly JwtSubject[] {
    return [...this.#slots()]
      .filter(
        ({ held, lastUsed }) => held !== null && now < held.expiresAt && !fresh(held, now) && lastUsed > held.issuedAt,
      )
      .sort((a, b) => (a.held?.expiresAt ?? 0) - (b.held?.expiresAt ?? 0))
      .map(({ subject }) => subject)
  }

  /** The wall-clock moment at which the next token in use has passed half its life. */
  nextAgeing(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const { held } of this.#slots()) {
      if (held && now < halfLife(held)) next = Math.min(next, halfLife(held))
    }
    return next
  }

  /** Forgets entries that exist no longer, and what has expired. */
  prune(keep: (entryId: string) => boolean, now: number): void {
    for (const [entryId, slots] of this.#byEntry) {
      for (const [key, { held, lastUsed }] of slots) {
        const dead = held ? held.expiresAt <= now : lastUsed + 60_000 < now
        if (!keep(entryId) || dead) slots.delete(key)
      }
      if (slots.size === 0) this.#byEntry.delete(entryId)
    }
  }

  get size(): number {
    let size = 0
    for (const slots of this.#byEntry.values()) size += slots.size
    return size
  }

  #slot(subject: JwtSubject, now: number): Slot {
    let slots = this.#byEntry.get(subject.entryId)
    if (!slots) {
      slots = new Map()
      this.#byEntry.set(subject.entryId, slots)
    }
    const key = JSON.stringify(subject.audience)
    let slot = slots.get(key)
    if (!slot) {
      if (slots.size >= MAX_AUDIENCE_SETS) slots.delete(leastUsed(slots))
      slot = { subject, held: null, lastUsed: now }
      slots.set(key, slot)
    }
    return slot
  }

  *#slots(): Iterable<Slot> {
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

function leastUsed(slots: ReadonlyMap<string, Slot>): string {
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
