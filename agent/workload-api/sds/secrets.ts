import { createHash } from 'node:crypto'
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt'
import { SecretSchema, SPIFFECertValidatorConfigSchema } from '../../../proto/gen/envoy/tls_pb.js'
import { certificatesPem, pemFromDer } from '../../crypto/pem.js'
import { type BundleSet, bundlePem, type TrustBundle } from '../../identity/trust-bundle.js'
import type { X509Svid } from '../../identity/x509-svid.js'
import type { ViewSvid } from '../../svids/view.js'
import type { Versioned } from './subscription.js'

/** How Envoy verifies its peers: by SPIFFE trust domain, or by a list of CA certificates. */
export type Validation = 'spiffe' | 'plain'

/** One secret, encoded. */
export interface SdsSecret extends Versioned {
  readonly message: Any
  readonly svid: ViewSvid | null
}

export const SECRET_TYPE = `type.googleapis.com/${SecretSchema.typeName}`
const VALIDATOR_TYPE = `type.googleapis.com/${SPIFFECertValidatorConfigSchema.typeName}`
const VALIDATOR = 'envoy.tls.cert_validator.spiffe'

type Content = NonNullable<MessageInitShape<typeof SecretSchema>['type']>

/**
 * Composes secrets, each once for all streams and as long as its SVID or bundle exists. A version is a hash of the public
 * parts: the chain identifies its key.
 */
export class Secrets {
  readonly #known = new WeakMap<object, Map<string, SdsSecret>>()

  svid(name: string, svid: ViewSvid): SdsSecret {
    return this.#once(svid.svid, name, () => ({
      name,
      version: versionOf('svid', svid.svid.chain),
      message: encoded(name, certificate(svid.svid)),
      svid,
    }))
  }

  bundle(name: string, bundle: TrustBundle, validation: Validation): SdsSecret {
    return this.#once(bundle, `${validation} ${name}`, () => ({
      name,
      version: versionOf(validation, dersOf(bundle)),
      message: encoded(name, validation === 'spiffe' ? spiffeValidation([bundle]) : plainValidation(bundle)),
      svid: null,
    }))
  }

  /** All bundles in one SPIFFE validator; plain CA certificates cannot express which trust domain each is for. */
  allBundles(name: string, bundles: BundleSet): SdsSecret {
    return this.#once(bundles, name, () => {
      const sorted = [...bundles.values()]
        .filter(({ authorities }) => authorities.length > 0)
        .sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1))
      return {
        name,
        version: versionOf(
          'all',
          sorted.flatMap((bundle) => dersOf(bundle)),
        ),
        message: encoded(name, spiffeValidation(sorted)),
        svid: null,
      }
    })
  }

  /** `key`: one of the configured names, so that clients cannot fill the cache. */
  #once(value: object, key: string, compose: () => SdsSecret): SdsSecret {
    const known = this.#known.get(value) ?? new Map<string, SdsSecret>()
    this.#known.set(value, known)
    const secret = known.get(key) ?? compose()
    known.set(key, secret)
    return secret
  }
}

function encoded(name: string, type: Content): Any {
  return create(AnySchema, {
    typeUrl: SECRET_TYPE,
    value: toBinary(SecretSchema, create(SecretSchema, { name, type })),
  })
}

function certificate({ chain, privateKey }: X509Svid): Content {
  return {
    case: 'tlsCertificate',
    value: {
      certificateChain: inline(certificatesPem(chain)),
      privateKey: inline(pemFromDer(privateKey.reveal(), 'PRIVATE KEY')),
    },
  }
}

function spiffeValidation(bundles: readonly TrustBundle[]): Content {
  const config = create(SPIFFECertValidatorConfigSchema, {
    trustDomains: bundles.map((bundle) => ({ name: bundle.trustDomain, trustBundle: inline(bundlePem(bundle)) })),
  })
  const typedConfig = create(AnySchema, {
    typeUrl: VALIDATOR_TYPE,
    value: toBinary(SPIFFECertValidatorConfigSchema, config),
  })
  return { case: 'validationContext', value: { customValidatorConfig: { name: VALIDATOR, typedConfig } } }
}

function plainValidation(bundle: TrustBundle): Content {
  return { case: 'validationContext', value: { trustedCa: inline(bundlePem(bundle)) } }
}

function inline(text: string) {
  return { specifier: { case: 'inlineBytes' as const, value: Buffer.from(text) } }
}

function dersOf({ trustDomain, authorities }: TrustBundle): readonly Uint8Array[] {
  return [Buffer.from(trustDomain), ...authorities.map(({ der }) => der)]
}

function versionOf(kind: string, parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256').update(kind)
  for (const part of parts) hash.update(`\n${part.length}\n`).update(part)
  return hash.digest('hex').slice(0, 32)
}
