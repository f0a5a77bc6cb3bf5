import { type BundleSet, bundlePem } from '../identity/trust-bundle.js'
import { spiffeBundle } from '../outputs/bundle-texts.js'

/** Which bundles are published, and under which keys. */
export interface PublishedBundles {
  readonly trustDomain: string
  /** Other trust domains, by name. */
  readonly federated: readonly string[]
  /** The key of the PEM of `trustDomain`. */
  readonly pemKey: string
  /** The key of its SPIFFE bundle; null: not written. */
  readonly spiffeKey: string | null
}

export interface PublishedTexts {
  /** The authorities of the trust domain; never empty. */
  readonly pem: string
  /** The data of a ConfigMap, by key. */
  readonly files: ReadonlyMap<string, string>
}

/** The texts to publish, and trust domains whose bundles the agent does not serve. */
export interface Composed {
  /** Null: nothing that may replace the published content. */
  readonly texts: PublishedTexts | null
  readonly absent: readonly string[]
}

/** `jwt`: a JWKS for each trust domain; null if none has been received yet. */
export function publishedTexts(
  { trustDomain, federated, pemKey, spiffeKey }: PublishedBundles,
  x509: BundleSet,
  jwt: ReadonlyMap<string, string> | null,
): Composed {
  const pems = new Map(
    [...x509].flatMap(([name, bundle]) => (bundle.authorities.length > 0 ? [[name, bundlePem(bundle)] as const] : [])),
  )
  const absent = [trustDomain, ...federated].filter((name) => !pems.has(name))
  const own = x509.get(trustDomain)
  const pem = pems.get(trustDomain)
  if (own === undefined || pem === undefined || (spiffeKey !== null && jwt === null)) return { texts: null, absent }
  const files = new Map([[pemKey, pem]])
  if (spiffeKey !== null) files.set(spiffeKey, spiffeBundle(own, keysIn(jwt?.get(trustDomain))))
  for (const name of federated) {
    const other = pems.get(name)
    if (other !== undefined) files.set(`federated.${name}.pem`, other)
  }
  return { texts: { pem, files }, absent }
}

/** The client has checked that it is a JWKS. */
function keysIn(jwks: string | undefined): readonly unknown[] {
  return jwks === undefined ? [] : (JSON.parse(jwks) as { readonly keys: readonly unknown[] }).keys
}
