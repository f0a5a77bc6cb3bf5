import { create, type JsonObject, toBinary } from '@bufbuild/protobuf'
import {
  JWTBundlesResponseSchema,
  type JWTSVIDRequest,
  JWTSVIDResponseSchema,
  SpiffeWorkloadAPI,
  type ValidateJWTSVIDRequest,
  ValidateJWTSVIDResponseSchema,
  X509BundlesResponseSchema,
  X509SVIDResponseSchema,
  X509SVIDSchema,
} from '../../../proto/gen/spiffe/workload_pb.js'
import { SpiffeId } from '../../identity/spiffe-id.js'
import type { BundleSet, TrustBundle } from '../../identity/trust-bundle.js'
import type { View } from '../../svids/view.js'
import { type Dialect, encodedOnce, type JwtBundles, jwksOf } from './dialect.js'

/** The standard dialect: DER, bundles keyed by the SPIFFE ID of the trust domain. */
export const spiffeDialect: Dialect = {
  name: 'spiffe',
  service: SpiffeWorkloadAPI,
  requiresHeader: true,
  x509Svids: encodedOnce((view: View) =>
    toBinary(
      X509SVIDResponseSchema,
      create(X509SVIDResponseSchema, {
        svids: view.svids.map(({ svid }) =>
          create(X509SVIDSchema, {
            spiffeId: svid.spiffeId.uri,
            x509Svid: Buffer.concat(svid.chain),
            x509SvidKey: svid.privateKey.reveal(),
            bundle: derOf(view.bundles.get(svid.spiffeId.trustDomain)),
          }),
        ),
        federatedBundles: federated(view),
      }),
    ),
  ),
  x509Bundles: encodedOnce((bundles: BundleSet) =>
    toBinary(X509BundlesResponseSchema, create(X509BundlesResponseSchema, { bundles: keyed(bundles.values()) })),
  ),
  readJwtSvidRequest: (request) => request as JWTSVIDRequest,
  jwtSvids: (tokens) => {
    const svids = tokens.map(({ spiffeId, token }) => ({ spiffeId: spiffeId.uri, svid: token.reveal() }))
    return Buffer.from(toBinary(JWTSVIDResponseSchema, create(JWTSVIDResponseSchema, { svids })))
  },
  jwtBundles: encodedOnce(({ trustDomains, keys }: JwtBundles) => {
    const jwks = jwksOf(keys)
    const bundles = Object.fromEntries(trustDomains.map((name) => [SpiffeId.ofTrustDomain(name).uri, jwks]))
    return toBinary(JWTBundlesResponseSchema, create(JWTBundlesResponseSchema, { bundles }))
  }),
  readValidateRequest: (request) => request as ValidateJWTSVIDRequest,
  validated: ({ spiffeId, claims }) => {
    const answer = create(ValidateJWTSVIDResponseSchema, { spiffeId, claims: claims as JsonObject })
    return Buffer.from(toBinary(ValidateJWTSVIDResponseSchema, answer))
  },
}

/** Every served trust domain that none of the SVIDs belongs to; the SVIDs' own stand in `bundle`, never merged. */
function federated(view: View): Record<string, Uint8Array> {
  const own = new Set(view.svids.map(({ svid }) => svid.spiffeId.trustDomain))
  return keyed([...view.bundles.values()].filter((bundle) => !own.has(bundle.trustDomain)))
}

function keyed(bundles: Iterable<TrustBundle>): Record<string, Uint8Array> {
  const map: Record<string, Uint8Array> = {}
  for (const bundle of bundles) map[SpiffeId.ofTrustDomain(bundle.trustDomain).uri] = derOf(bundle)
  return map
}

function derOf(bundle: TrustBundle | undefined): Uint8Array {
  return Buffer.concat((bundle?.authorities ?? []).map((authority) => authority.der))
}
