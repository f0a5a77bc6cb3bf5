import { createPrivateKey, type KeyObject } from 'node:crypto'
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
} from '../../proto/gen/spiffe/workload_pb.js'
import { DerReader, TAG } from '../crypto/der.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { ClientDialect } from './dialect.js'
import type { RawBundles } from './received.js'

/** The standard dialect: concatenated DER, bundles keyed by the SPIFFE ID of the trust domain (Workload API 5). */
export const spiffeMessages: ClientDialect = {
  name: 'spiffe',
  service: SpiffeWorkloadAPI,
  metadata: { 'workload.spiffe.io': 'true' },
  x509Svids(message) {
    const { svids, federatedBundles } = fromBinary(X509SVIDResponseSchema, message)
    return {
      svids: svids.map((svid) => ({
        spiffeId: svid.spiffeId,
        hint: svid.hint,
        chain: certificates(svid.x509Svid),
        key: privateKey(svid.x509SvidKey),
        bundle: certificates(svid.bundle),
      })),
      federated: byTrustDomain(federatedBundles),
    }
  },
  x509Bundles: (message) => byTrustDomain(fromBinary(X509BundlesResponseSchema, message).bundles),
  jwtSvidRequest: (audience, spiffeId) =>
    toBinary(JWTSVIDRequestSchema, create(JWTSVIDRequestSchema, { audience: [...audience], spiffeId })),
  jwtSvids: (message) =>
    fromBinary(JWTSVIDResponseSchema, message).svids.map(({ spiffeId, svid, hint }) => ({ spiffeId, svid, hint })),
  jwtBundles(message) {
    const { bundles } = fromBinary(JWTBundlesResponseSchema, message)
    return new Map(Object.entries(bundles).map(([id, jwks]) => [trustDomainOf(id), jwks]))
  },
  validateRequest: (audience, svid) =>
    toBinary(ValidateJWTSVIDRequestSchema, create(ValidateJWTSVIDRequestSchema, { audience, svid })),
  validated(message) {
    const { spiffeId, claims } = fromBinary(ValidateJWTSVIDResponseSchema, message)
    return { spiffeId, claims: claims ?? {} }
  },
}

function certificates(concatenated: Uint8Array): Uint8Array[] {
  return [...new DerReader(concatenated).rest(TAG.sequence)].map(({ raw }) => raw)
}

function privateKey(der: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  } catch (cause) {
    throw new AgentError('svid.invalid', 'the private key cannot be read as unencrypted PKCS#8', { cause })
  }
}

function byTrustDomain(bundles: Readonly<Record<string, Uint8Array>>): RawBundles {
  return new Map(Object.entries(bundles).map(([id, der]) => [trustDomainOf(id), certificates(der)]))
}

function trustDomainOf(uri: string): string {
  const id = SpiffeId.parse(uri)
  if (id.path === '') return id.trustDomain
  throw new AgentError('spiffe_id.invalid', 'the key of a bundle is not the SPIFFE ID of a trust domain')
}
