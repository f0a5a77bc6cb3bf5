import { create, toBinary } from '@bufbuild/protobuf'
import {
  SpiffeWorkloadAPI,
  X509BundlesResponseSchema,
  X509SVIDResponseSchema,
  X509SVIDSchema,
} from '../../../proto/gen/authsec/workload_pb.js'
import { pemFromDer } from '../../crypto/pem.js'
import type { BundleSet, TrustBundle } from '../../identity/trust-bundle.js'
import type { View } from '../../store/view.js'
import { type Dialect, encodedOnce } from '../dialect.js'

/** The dialect of the AuthSec SDKs: PEM text, bundles keyed by the account id or the name of the trust domain. */
export const authsecDialect: Dialect = {
  name: 'authsec',
  service: SpiffeWorkloadAPI,
  requiresHeader: false,
  x509Svids: encodedOnce((view: View) =>
    toBinary(
      X509SVIDResponseSchema,
      create(X509SVIDResponseSchema, {
        svids: view.svids.map(({ svid }) =>
          create(X509SVIDSchema, {
            spiffeId: svid.spiffeId.uri,
            x509Svid: pem(svid.chain),
            x509SvidKey: Buffer.from(pemFromDer(svid.privateKey.reveal(), 'PRIVATE KEY')),
            bundle: pemOf(view.bundles.get(svid.spiffeId.trustDomain)),
          }),
        ),
        federatedBundles: federated(view),
      }),
    ),
  ),
  x509Bundles: encodedOnce((bundles: BundleSet) =>
    toBinary(X509BundlesResponseSchema, create(X509BundlesResponseSchema, { bundles: keyed(bundles.values()) })),
  ),
}

function federated(view: View): Record<string, Uint8Array> {
  const own = new Set(view.svids.map(({ svid }) => svid.spiffeId.trustDomain))
  return keyed([...view.bundles.values()].filter((bundle) => !own.has(bundle.trustDomain)))
}

/** The account's own trust domain is the account id, so that its key is what the SDKs look for. */
function keyed(bundles: Iterable<TrustBundle>): Record<string, Uint8Array> {
  const map: Record<string, Uint8Array> = {}
  for (const bundle of bundles) map[bundle.trustDomain] = pemOf(bundle)
  return map
}

function pemOf(bundle: TrustBundle | undefined): Uint8Array {
  return pem((bundle?.authorities ?? []).map((authority) => authority.der))
}

function pem(ders: readonly Uint8Array[]): Uint8Array {
  return Buffer.from(ders.map((der) => pemFromDer(der, 'CERTIFICATE')).join(''))
}
