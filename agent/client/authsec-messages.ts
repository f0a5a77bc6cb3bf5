import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  JWTBundlesResponseSchema,
  JWTSVIDRequestSchema,
  JWTSVIDResponseSchema,
  SpiffeWorkloadAPI,
  ValidateJWTSVIDRequestSchema,
  ValidateJWTSVIDResponseSchema,
  X509BundlesResponseSchema,
  X509SVIDResponseSchema,
} from '../../proto/gen/authsec/workload_pb.js'
import { privateKeyFromPem } from '../crypto/keys.js'
import { derFromPem } from '../crypto/pem.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { ClientDialect } from './dialect.js'
import type { RawBundles } from './received.js'

/** The dialect of the AuthSec SDKs: PEM text in bytes, bundles keyed by the name of the trust domain. */
export const authsecMessages: ClientDialect = {
  name: 'authsec',
  service: SpiffeWorkloadAPI,
  metadata: {},
  x509Svids(message) {
    const { svids, federatedBundles } = fromBinary(X509SVIDResponseSchema, message)
    return {
      svids: svids.map((svid) => ({
        spiffeId: svid.spiffeId,
        hint: '',
        chain: certificates(svid.x509Svid),
        key: privateKeyFromPem(text(svid.x509SvidKey)),
        bundle: certificates(svid.bundle),
      })),
      federated: byTrustDomain(federatedBundles),
    }
  },
  x509Bundles: (message) => byTrustDomain(fromBinary(X509BundlesResponseSchema, message).bundles),
  jwtSvidRequest: (audience, spiffeId) =>
    toBinary(JWTSVIDRequestSchema, create(JWTSVIDRequestSchema, { audience: [...audience], spiffeId })),
  jwtSvids: (message) =>
    fromBinary(JWTSVIDResponseSchema, message).svids.map(({ spiffeId, svid }) => ({ spiffeId, svid, hint: '' })),
  jwtBundles(message) {
    const { bundles } = fromBinary(JWTBundlesResponseSchema, message)
    return new Map(Object.entries(bundles).map(([id, jwks]) => [SpiffeId.ofTrustDomain(id).trustDomain, jwks]))
  },
  validateRequest: (audience, svid) =>
    toBinary(ValidateJWTSVIDRequestSchema, create(ValidateJWTSVIDRequestSchema, { audience, svid })),
  validated(message) {
    const { spiffeId, claims } = fromBinary(ValidateJWTSVIDResponseSchema, message)
    return { spiffeId, claims }
  },
}

function certificates(pem: Uint8Array): Uint8Array[] {
  return derFromPem(text(pem), 'CERTIFICATE')
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function byTrustDomain(bundles: Readonly<Record<string, Uint8Array>>): RawBundles {
  return new Map(
    Object.entries(bundles).map(([name, pem]) => [SpiffeId.ofTrustDomain(name).trustDomain, certificates(pem)]),
  )
}
