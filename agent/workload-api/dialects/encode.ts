import {
  create,
  type DescMessage,
  type DescService,
  type Message,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf'
import { jwksOf } from '../../identity/jwks.js'
import type { JwtKey } from '../../identity/jwt-svid.js'
import type { BundleSet, TrustBundle } from '../../identity/trust-bundle.js'
import type { X509Svid } from '../../identity/x509-svid.js'
import type { HeldJwt } from '../../svids/jwt-cache.js'
import type { View } from '../../svids/view.js'

/** The message types of one dialect; both dialects are filled alike. */
interface Messages {
  x509Svids(content: {
    svids: { spiffeId: string; x509Svid: Uint8Array; x509SvidKey: Uint8Array; bundle: Uint8Array }[]
    federatedBundles: Record<string, Uint8Array>
  }): Buffer
  x509Bundles(content: { bundles: Record<string, Uint8Array> }): Buffer
  jwtSvids(content: { svids: { spiffeId: string; svid: string }[] }): Buffer
  jwtBundles(content: { bundles: Record<string, Uint8Array> }): Buffer
  validated(token: { readonly spiffeId: string; readonly claims: Readonly<Record<string, unknown>> }): Buffer
}

/** The differences between the dialects. */
export interface DialectForm {
  readonly name: 'spiffe' | 'authsec'
  readonly service: DescService
  /** Every call needs `workload.spiffe.io: true` (Workload Endpoint 6). */
  readonly requiresHeader: boolean
  readonly messages: Messages
  readJwtSvidRequest(request: Message): { readonly audience: readonly string[]; readonly spiffeId: string }
  readValidateRequest(request: Message): { readonly audience: string; readonly svid: string }
  /** Chain and private key. */
  svidBytes(svid: X509Svid): { readonly chain: Uint8Array; readonly key: Uint8Array }
  bundleBytes(bundle: TrustBundle | undefined): Uint8Array
  /** The name of a trust domain's bundle. */
  bundleKey(trustDomain: string): string
}

/** One of the two forms of the Workload API on the wire. Streamed messages are encoded once per content. */
export interface Dialect
  extends Pick<DialectForm, 'name' | 'service' | 'requiresHeader' | 'readJwtSvidRequest' | 'readValidateRequest'> {
  x509Svids(view: View): Buffer
  x509Bundles(bundles: BundleSet): Buffer
  jwtSvids(tokens: readonly HeldJwt[]): Buffer
  jwtBundles(bundles: JwtBundles): Buffer
  validated: Messages['validated']
}

/** The keys of JWT-SVIDs and their trust domains. The same object as long as nothing changes. */
export interface JwtBundles {
  readonly trustDomains: readonly string[]
  readonly keys: readonly JwtKey[]
}

/** Composes the messages of a dialect from its form. */
export function dialectOf(form: DialectForm): Dialect {
  const { name, service, requiresHeader, messages } = form
  const keyed = (bundles: Iterable<TrustBundle>) => {
    const map: Record<string, Uint8Array> = {}
    for (const bundle of bundles) map[form.bundleKey(bundle.trustDomain)] = form.bundleBytes(bundle)
    return map
  }
  return {
    name,
    service,
    requiresHeader,
    readJwtSvidRequest: form.readJwtSvidRequest,
    readValidateRequest: form.readValidateRequest,
    validated: messages.validated,
    x509Svids: encodedOnce(({ svids, bundles }: View) => {
      const own = new Set(svids.map(({ svid }) => svid.spiffeId.trustDomain))
      return messages.x509Svids({
        svids: svids.map(({ svid }) => {
          const { chain, key } = form.svidBytes(svid)
          const bundle = form.bundleBytes(bundles.get(svid.spiffeId.trustDomain))
          return { spiffeId: svid.spiffeId.uri, x509Svid: chain, x509SvidKey: key, bundle }
        }),
        // Every served trust domain that none of the SVIDs belongs to; that of an SVID is in its `bundle`.
        federatedBundles: keyed([...bundles.values()].filter(({ trustDomain }) => !own.has(trustDomain))),
      })
    }),
    x509Bundles: encodedOnce((bundles: BundleSet) => messages.x509Bundles({ bundles: keyed(bundles.values()) })),
    jwtSvids: (tokens) =>
      messages.jwtSvids({
        svids: tokens.map(({ spiffeId, token }) => ({ spiffeId: spiffeId.uri, svid: token.reveal() })),
      }),
    jwtBundles: encodedOnce(({ trustDomains, keys }: JwtBundles) => {
      const jwks = jwksOf(keys)
      return messages.jwtBundles({
        bundles: Object.fromEntries(trustDomains.map((one) => [form.bundleKey(one), jwks])),
      })
    }),
  }
}

/** Encodes messages of one type. */
export function encoderOf<Desc extends DescMessage>(schema: Desc): (content: MessageInitShape<Desc>) => Buffer {
  return (content) => Buffer.from(toBinary(schema, create(schema, content)))
}

/** Encodes each value once, however many streams send it. */
export function encodedOnce<T extends object>(encode: (value: T) => Buffer): (value: T) => Buffer {
  const known = new WeakMap<T, Buffer>()
  return (value) => {
    let message = known.get(value)
    if (!message) {
      message = encode(value)
      known.set(value, message)
    }
    return message
  }
}
