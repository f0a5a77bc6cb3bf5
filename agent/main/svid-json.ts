import { bundlesOf, type Change } from '../client/changes.js'
import type { HeldSvid, X509Context } from '../client/x509-context.js'
import { certificatesPem } from '../crypto/pem.js'
import { bundlePem } from '../identity/trust-bundle.js'
import { iso } from '../lib/time.js'

/** An SVID as JSON without its private key, which is only written to files of mode 0600. */
export function svidJson({ svid, hint }: HeldSvid) {
  return {
    spiffe_id: svid.spiffeId.uri,
    ...(hint === '' ? {} : { hint }),
    serial_number: svid.serial,
    not_before: iso(svid.notBefore),
    not_after: iso(svid.notAfter),
    chain_pem: certificatesPem(svid.chain),
  }
}

/** A whole message: the SVIDs, and the authorities of every trust domain as PEM. */
export function contextJson(context: X509Context) {
  const bundles = [...bundlesOf(context)].map(([trustDomain, bundle]) => [trustDomain, bundlePem(bundle)])
  return { svids: context.svids.map(svidJson), bundles: Object.fromEntries(bundles) as Record<string, string> }
}

export function changeJson(change: Change) {
  if (change.kind === 'bundle') {
    const { trustDomain, added, removed, authorities } = change
    return { kind: change.kind, trust_domain: trustDomain, added, removed, authorities }
  }
  return { kind: change.kind, spiffe_id: change.svid.svid.spiffeId.uri, serial_number: change.svid.svid.serial }
}
