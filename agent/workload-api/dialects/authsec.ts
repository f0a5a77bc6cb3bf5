import { create, toBinary } from '@bufbuild/protobuf'
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
} from '../../../proto/gen/authsec/workload_pb.js'
import { pemFromDer } from '../../crypto/pem.js'
import type { BundleSet, TrustBundle } from '../../identity/trust-bundle.js'
import type { View } from '../../svids/view.js'
import { type Dialect, encodedOnce, type JwtBundles, jwksOf } from './dialect.js'

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
  readJwtSvidRequest: (request) => request as JWTSVIDRequest,
  jwtSvids: (tokens) => {
    const svids = tokens.map(({ spiffeId, token }) => ({ spiffeId: spiffeId.uri, svid: token.reveal() }))
    return Buffer.from(toBinary(JWTSVIDResponseSchema, create(JWTSVIDResponseSchema, { svids })))
  },
  jwtBundles: encodedOnce(({ trustDomains, keys }: JwtBundles) => {
    const jwks = jwksOf(keys)
    const bundles = Object.fromEntries(trustDomains.map((name) => [name, jwks]))
    return toBinary(JWTBundlesResponseSchema, create(JWTBundlesResponseSchema, { bundles }))
  }),
  readValidateRequest: (request) => request as ValidateJWTSVIDRequest,
  validated: ({ spiffeId, claims }) => {
    const answer = create(ValidateJWTSVIDResponseSchema, { spiffeId, claims: asText(claims) })
    return Buffer.from(toBinary(ValidateJWTSVIDResponseSchema, answer))
  },
}

/** Claims as this dialect has them: text, and JSON where they are something else. */
function asText(claims: Readonly<Record<string, unknown>>): Record<string, string> {
  const entries = Object.entries(claims).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return Object.fromEntries(entries)
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
