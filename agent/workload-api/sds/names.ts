import { SpiffeId } from '../../identity/spiffe-id.js'

/** The names that Envoy uses besides SPIFFE IDs. */
export interface SecretNames {
  /** The first SVID. */
  readonly svid: string
  /** The bundle of the caller's own trust domain. */
  readonly bundle: string
  /** All bundles in one validation context. */
  readonly allBundles: string
}

/** The meaning of a secret name. */
export type Meaning =
  | { readonly kind: 'default-svid' | 'own-bundle' | 'all-bundles' }
  | { readonly kind: 'svid'; readonly spiffeId: SpiffeId }
  | { readonly kind: 'bundle'; readonly trustDomain: string }
  /** It can never be served. */
  | { readonly kind: 'nothing'; readonly why: string }

export function meaningOf(name: string, names: SecretNames): Meaning {
  if (name === names.svid) return { kind: 'default-svid' }
  if (name === names.bundle) return { kind: 'own-bundle' }
  if (name === names.allBundles) return { kind: 'all-bundles' }
  const id = SpiffeId.tryParse(name)
  if (typeof id === 'string') {
    const why = `neither ${names.svid}, ${names.bundle} or ${names.allBundles} nor a SPIFFE ID (${id})`
    return { kind: 'nothing', why }
  }
  return id.path === '' ? { kind: 'bundle', trustDomain: id.trustDomain } : { kind: 'svid', spiffeId: id }
}
