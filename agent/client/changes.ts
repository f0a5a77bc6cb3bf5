import type { TrustBundle } from '../identity/trust-bundle.js'
import type { HeldSvid, X509Context } from './x509-context.js'

/** One difference between two messages of FetchX509SVID. */
export type Change =
  | { readonly kind: 'granted'; readonly svid: HeldSvid }
  | { readonly kind: 'rotated'; readonly before: HeldSvid; readonly svid: HeldSvid }
  | { readonly kind: 'withdrawn'; readonly svid: HeldSvid }
  | { readonly kind: 'default'; readonly svid: HeldSvid }
  | {
      readonly kind: 'bundle'
      readonly trustDomain: string
      /** Number of added authorities. If `authorities` is 0, the trust domain is no longer trusted. */
      readonly added: number
      readonly removed: number
      readonly authorities: number
    }

/**
 * The differences between two messages; empty if they are equal. For the first message (`before` null) all SVIDs are
 * granted and bundles are not listed.
 */
export function changes(before: X509Context | null, after: X509Context): readonly Change[] {
  const [old, now] = [byName(before), byName(after)]
  const found: Change[] = []
  for (const [name, svid] of now) {
    const previous = old.get(name)
    if (!previous) found.push({ kind: 'granted', svid })
    else if (previous.svid.serial !== svid.svid.serial) found.push({ kind: 'rotated', before: previous, svid })
  }
  for (const [name, svid] of old) if (!now.has(name)) found.push({ kind: 'withdrawn', svid })
  if (!before) return found
  const [first] = after.svids
  if (!before.svids[0].svid.spiffeId.equals(first.svid.spiffeId)) found.push({ kind: 'default', svid: first })
  return [...found, ...bundleChanges(bundlesOf(before), bundlesOf(after))]
}

/** Two entries may name one SPIFFE ID; then their order distinguishes them. */
function byName(context: X509Context | null): Map<string, HeldSvid> {
  const named = new Map<string, HeldSvid>()
  for (const held of context?.svids ?? []) {
    let name = held.svid.spiffeId.uri
    while (named.has(name)) name += '#'
    named.set(name, held)
  }
  return named
}

/** Every bundle of a message, federated or an SVID's own. */
export function bundlesOf(context: X509Context): Map<string, TrustBundle> {
  return new Map([...context.federated, ...context.svids.map(({ bundle }) => [bundle.trustDomain, bundle] as const)])
}

function bundleChanges(old: ReadonlyMap<string, TrustBundle>, now: ReadonlyMap<string, TrustBundle>): Change[] {
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((trustDomain) => {
    const [before, after] = [fingerprints(old.get(trustDomain)), fingerprints(now.get(trustDomain))]
    const added = [...after].filter((fingerprint) => !before.has(fingerprint)).length
    const removed = [...before].filter((fingerprint) => !after.has(fingerprint)).length
    if (added === 0 && removed === 0) return []
    return [{ kind: 'bundle' as const, trustDomain, added, removed, authorities: after.size }]
  })
}

function fingerprints(bundle: TrustBundle | undefined): Set<string> {
  return new Set(bundle?.authorities.map(({ fingerprint }) => fingerprint))
}
