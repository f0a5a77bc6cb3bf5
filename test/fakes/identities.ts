import { createHash } from 'node:crypto'
import { Secret } from '../../agent/crypto/secret.js'
import type { Entry } from '../../agent/identity/entry.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import type { Authority, BundleSet } from '../../agent/identity/trust-bundle.js'
import type { X509Svid } from '../../agent/identity/x509-svid.js'
import { EntryIndex } from '../../agent/svids/entry-index.js'
import type { EntryState, RenewableSvid } from '../../agent/svids/entry-state.js'
import type { Snapshot } from '../../agent/svids/snapshot.js'

/** Values as they are after verification, without the cryptography: for code that never looks inside a certificate. */
export const DOMAIN = 'example.org'
const HOUR = 3_600_000

export interface EntryWish {
  readonly selectors?: Readonly<Record<string, string>>
  /** Path of the SPIFFE ID; default: `/<id>`. */
  readonly path?: string
  readonly domain?: string
  readonly assigned?: boolean
  readonly ttlSeconds?: number | null
  readonly createdAt?: number
}

export function entryOf(id: string, wish: EntryWish = {}): Entry {
  return {
    id,
    spiffeId: SpiffeId.parse(`spiffe://${wish.domain ?? DOMAIN}${wish.path ?? `/${id}`}`),
    assigned: wish.assigned ?? true,
    selectors: new Map(Object.entries(wish.selectors ?? { 'unix:uid': '1000' })),
    ttlSeconds: wish.ttlSeconds ?? null,
    createdAt: wish.createdAt ?? 0,
  }
}

export function entriesOf(...entries: readonly Entry[]): ReadonlyMap<string, Entry> {
  return new Map(entries.map((entry) => [entry.id, entry]))
}

export interface SvidWish {
  readonly notBefore?: number
  readonly notAfter?: number
  readonly serial?: string
  readonly authority?: string
  readonly domain?: string
}

let serials = 0

export function svidOf(id: string, wish: SvidWish = {}): X509Svid {
  const notBefore = wish.notBefore ?? 0
  return {
    spiffeId: SpiffeId.parse(`spiffe://${wish.domain ?? DOMAIN}/${id}`),
    chain: [Buffer.from(`certificate of ${id}`)],
    privateKey: new Secret(new Uint8Array(Buffer.from(`key of ${id}`))),
    serial: wish.serial ?? `0${++serials}`,
    notBefore,
    notAfter: wish.notAfter ?? notBefore + HOUR,
    hasBasicConstraints: true,
    authority: wish.authority ?? authorityOf('ca').fingerprint,
  }
}

/** An SVID in hand, worth renewing from the middle of its life. */
export function heldOf(id: string, wish: SvidWish & { readonly renewAt?: number } = {}): RenewableSvid {
  const svid = svidOf(id, wish)
  return { svid, renewAt: wish.renewAt ?? (svid.notBefore + svid.notAfter) / 2 }
}

export function issuedOf(id: string, wish: Parameters<typeof heldOf>[1] = {}): EntryState & { kind: 'issued' } {
  return { kind: 'issued', held: heldOf(id, wish) }
}

export function authorityOf(name: string, wish: { notBefore?: number; notAfter?: number } = {}): Authority {
  return {
    der: Buffer.from(`authority ${name}`),
    fingerprint: createHash('sha256').update(name).digest('hex'),
    notBefore: wish.notBefore ?? 0,
    notAfter: wish.notAfter ?? Number.MAX_SAFE_INTEGER,
  }
}

export function bundlesOf(...domains: readonly string[]): BundleSet {
  const authorities = [authorityOf('ca')]
  return new Map(domains.map((trustDomain) => [trustDomain, { trustDomain, authorities }]))
}

export function snapshotOf(
  entries: readonly Entry[],
  states: Readonly<Record<string, EntryState>> = {},
  more: Partial<Snapshot> = {},
): Snapshot {
  return {
    synced: true,
    entries: entriesOf(...entries),
    index: new EntryIndex(entries),
    states: new Map(Object.entries(states)),
    bundles: bundlesOf(DOMAIN),
    jwtKeys: [],
    ...more,
  }
}
