import { AgentError, messageOf } from '../errors.js'
import { parseAuthority } from '../identity/authority.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { BundleSet, TrustBundle } from '../identity/trust-bundle.js'
import { verifyX509Svid } from '../identity/verify-svid.js'
import type { X509Svid } from '../identity/x509-svid.js'
import type { RawBundles, RawSvid, RawX509Svids } from './received.js'

/** A verified X.509-SVID from the agent. */
export interface HeldSvid {
  readonly svid: X509Svid
  /** The hint of its entry; empty if there is none. */
  readonly hint: string
  /** The authorities of the SVID's own trust domain: it chains to one of them. */
  readonly bundle: TrustBundle
}

/** The SVIDs and bundles of a workload. The first SVID is its default identity (Workload API 8). */
export interface X509Context {
  readonly svids: readonly [HeldSvid, ...HeldSvid[]]
  /** Other trust domains; never merged with the bundles of the SVIDs. */
  readonly federated: BundleSet
}

/**
 * Verifies a message of FetchX509SVID: at least one SVID, each with its key, its SPIFFE ID as its one URI name, and a path
 * to its own bundle (Workload API 5.2.1). Of two SVIDs with the same hint only the first is used.
 * Throws `client.bad_response` when anything in the message is wrong: half a message is never used.
 */
export function verifyX509Context(read: () => RawX509Svids, now: number): X509Context {
  return refusing(() => {
    const raw = read()
    const hints = new Set<string>()
    const [first, ...others] = raw.svids.filter(({ hint }) => hint === '' || (!hints.has(hint) && hints.add(hint)))
    if (!first) throw new AgentError('svid.invalid', 'it has no SVID')
    return {
      svids: [verify(first, now), ...others.map((svid) => verify(svid, now))],
      federated: bundleSet(raw.federated),
    }
  })
}

/** Verifies a message of FetchX509Bundles. Throws `client.bad_response`. */
export function verifyX509Bundles(read: () => RawBundles): BundleSet {
  return refusing(() => {
    const bundles = bundleSet(read())
    if (bundles.size === 0) throw new AgentError('svid.invalid', 'it has no bundle')
    return bundles
  })
}

function verify(raw: RawSvid, now: number): HeldSvid {
  const expected = SpiffeId.parse(raw.spiffeId)
  const bundle = bundleOf(expected.trustDomain, raw.bundle)
  const { chain, key, hint } = raw
  const { authorities } = bundle
  return { svid: verifyX509Svid({ chain, key, expected, named: raw.spiffeId, authorities, now }), hint, bundle }
}

function bundleSet(raw: RawBundles): BundleSet {
  return new Map([...raw].map(([trustDomain, ders]) => [trustDomain, bundleOf(trustDomain, ders)]))
}

function bundleOf(trustDomain: string, ders: readonly Uint8Array[]): TrustBundle {
  return { trustDomain, authorities: ders.map(parseAuthority) }
}

function refusing<T>(check: () => T): T {
  try {
    return check()
  } catch (cause) {
    throw new AgentError('client.bad_response', `invalid answer of the agent: ${messageOf(cause)}`, {
      cause,
      details: { reason: cause instanceof AgentError ? cause.code : 'malformed' },
    })
  }
}
