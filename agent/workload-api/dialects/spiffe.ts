import type { JsonObject } from '@bufbuild/protobuf'
import {
  JWTBundlesResponseSchema,
  type JWTSVIDRequest,
  JWTSVIDResponseSchema,
  SpiffeWorkloadAPI,
  type ValidateJWTSVIDRequest,
  ValidateJWTSVIDResponseSchema,
  X509BundlesResponseSchema,
  X509SVIDResponseSchema,
} from '../../../proto/gen/spiffe/workload_pb.js'
import { SpiffeId } from '../../identity/spiffe-id.js'
import { dialectOf, encoderOf } from './encode.js'

const validated = encoderOf(ValidateJWTSVIDResponseSchema)

/** The standard dialect: DER, bundles keyed by the SPIFFE ID of the trust domain. */
export const spiffeDialect = dialectOf({
  name: 'spiffe',
  service: SpiffeWorkloadAPI,
  requiresHeader: true,
  messages: {
    x509Svids: encoderOf(X509SVIDResponseSchema),
    x509Bundles: encoderOf(X509BundlesResponseSchema),
    jwtSvids: encoderOf(JWTSVIDResponseSchema),
    jwtBundles: encoderOf(JWTBundlesResponseSchema),
    validated: ({ spiffeId, claims }) => validated({ spiffeId, claims: claims as JsonObject }),
  },
  readJwtSvidRequest: (request) => request as JWTSVIDRequest,
  readValidateRequest: (request) => request as ValidateJWTSVIDRequest,
  svidBytes: ({ chain, privateKey }) => ({ chain: Buffer.concat(chain), key: privateKey.reveal() }),
  bundleBytes: (bundle) => Buffer.concat((bundle?.authorities ?? []).map(({ der }) => der)),
  bundleKey: (trustDomain) => SpiffeId.ofTrustDomain(trustDomain).uri,
})
