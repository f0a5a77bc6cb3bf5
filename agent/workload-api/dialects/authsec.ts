import {
  JWTBundlesResponseSchema,
  type JWTSVIDRequest,
  JWTSVIDResponseSchema,
  SpiffeWorkloadAPI,
  type ValidateJWTSVIDRequest,
  ValidateJWTSVIDResponseSchema,
  X509BundlesResponseSchema,
  X509SVIDResponseSchema,
} from '../../../proto/gen/authsec/workload_pb.js'
import { certificatesPem, pemFromDer } from '../../crypto/pem.js'
import { bundlePem } from '../../identity/trust-bundle.js'
import { dialectOf, encoderOf } from './encode.js'

const validated = encoderOf(ValidateJWTSVIDResponseSchema)

/**
 * The dialect of the AuthSec SDKs: PEM text, bundles keyed by the name of the trust domain. The account's own trust
 * domain is the account id, which is the key that the SDKs look up.
 */
export const authsecDialect = dialectOf({
  name: 'authsec',
  service: SpiffeWorkloadAPI,
  requiresHeader: false,
  messages: {
    x509Svids: encoderOf(X509SVIDResponseSchema),
    x509Bundles: encoderOf(X509BundlesResponseSchema),
    jwtSvids: encoderOf(JWTSVIDResponseSchema),
    jwtBundles: encoderOf(JWTBundlesResponseSchema),
    validated: ({ spiffeId, claims }) => validated({ spiffeId, claims: asText(claims) }),
  },
  readJwtSvidRequest: (request) => request as JWTSVIDRequest,
  readValidateRequest: (request) => request as ValidateJWTSVIDRequest,
  svidBytes: ({ chain, privateKey }) => ({
    chain: Buffer.from(certificatesPem(chain)),
    key: Buffer.from(pemFromDer(privateKey.reveal(), 'PRIVATE KEY')),
  }),
  bundleBytes: (bundle) => Buffer.from(bundle ? bundlePem(bundle) : ''),
  bundleKey: (trustDomain) => trustDomain,
})

/** Claims in the form of this dialect: texts, and others as JSON. */
function asText(claims: Readonly<Record<string, unknown>>): Record<string, string> {
  const entries = Object.entries(claims).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return Object.fromEntries(entries)
}
