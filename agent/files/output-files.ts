import type { HeldJwtSvid, JwtBundleSet } from '../client/jwt.js'
import type { HeldSvid } from '../client/x509-context.js'
import { pemFromDer } from '../crypto/pem.js'
import type { Secret } from '../crypto/secret.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import { bundlePem } from '../identity/trust-bundle.js'
import type { OutputFile } from '../ports/generations.js'
import type { FilePlan } from './file-plan.js'

/** The received parts of an identity; null: not received, or not needed. */
export interface Received {
  readonly x509: { readonly held: HeldSvid; readonly federated: BundleSet } | null
  /** By the name of their file. */
  readonly tokens: ReadonlyMap<string, HeldJwtSvid>
  readonly jwks: JwtBundleSet | null
  /** The trust domain of the process's own key set. */
  readonly trustDomain: string | null
}

/** Composes the files of generations; equal content gives equal files. */
export class FileComposer {
  /** Cached, because PKCS#12 has fresh salts each time and equal content would look changed. */
  #stores: { readonly of: string; readonly files: OutputFile[] } | null = null

  constructor(private readonly plan: FilePlan) {}

  /** The files of one generation; the key is last, for files that become visible one after another. */
  async files(received: Received): Promise<readonly OutputFile[]> {
    const { plan } = this
    if (received.x509 === null) return jwtFiles(plan, received)
    const { held } = received.x509
    const authorities = authoritiesOf(plan, received.x509)
    const of = [held.svid.serial, ...authorities.keys()].join()
    if (this.#stores?.of !== of) this.#stores = { of, files: await stores(plan, held.svid, authorities) }
    return [...jwtFiles(plan, received), ...this.#stores.files, ...pemFiles(plan, received.x509, authorities)]
  }
}

type Authorities = ReadonlyMap<string, Uint8Array>

/** DER by fingerprint: those of the SVID's trust domain, and merged ones of others. */
function authoritiesOf(plan: FilePlan, { held, federated }: NonNullable<Received['x509']>): Authorities {
  const bundles = [held.bundle, ...(plan.federated === 'merged' ? federated.values() : [])]
  return new Map(bundles.flatMap((one) => one.authorities.map(({ fingerprint, der }) => [fingerprint, der])))
}

function pemFiles(
  plan: FilePlan,
  { held, federated }: NonNullable<Received['x509']>,
  authorities: Authorities,
): OutputFile[] {
  const { svid, bundle } = held
  const { certificate, key } = plan.modes
  const [leaf, ...intermediates] = svid.chain.map((der) => pemFromDer(der, 'CERTIFICATE'))
  const privateKey = pemFromDer(svid.privateKey.reveal(), 'PRIVATE KEY')
  const chain = [leaf, ...(plan.intermediatesInBundle ? [] : intermediates)].join('')
  const bundleText = [
    ...(plan.intermediatesInBundle ? intermediates : []),
    ...[...authorities.values()].map((der) => pemFromDer(der, 'CERTIFICATE')),
  ].join('')
  const others = plan.federated === 'files' ? [...federated].filter(([name]) => name !== bundle.trustDomain) : []
  return [
    ...file(plan.bundle, bundleText, certificate),
    ...others.flatMap(([name, other]) => file(`federated.${name}.pem`, bundlePem(other), certificate)),
    ...file(plan.combined, `${chain}${privateKey}`, key),
    ...file(plan.certificate, chain, certificate),
    ...file(plan.key, privateKey, key),
  ]
}

async function stores(
  { keystore, truststore, password, modes }: FilePlan,
  entry: { readonly privateKey: Secret<Uint8Array>; readonly chain: readonly Uint8Array[] },
  authorities: Authorities,
): Promise<OutputFile[]> {
  if (password === null) return []
  const { keyStore, trustStore } = await import('../crypto/pkcs12.js')
  return [
    ...(truststore === null ? [] : file(truststore, await trustStore(authorities, password), modes.certificate)),
    ...(keystore === null ? [] : file(keystore, await keyStore(entry, password), modes.key)),
  ]
}

function jwtFiles(plan: FilePlan, { tokens, jwks, trustDomain }: Received): OutputFile[] {
  const svids = [...tokens].flatMap(([name, { token }]) => file(name, token.reveal(), plan.modes.jwtSvid))
  if (plan.jwks === null || jwks === null) return svids
  const mode = plan.modes.jwks
  if (plan.jwksForm === 'base64') {
    const sets = [...jwks].map(([name, text]) => [name, Buffer.from(text).toString('base64')])
    return [...svids, ...file(plan.jwks, JSON.stringify(Object.fromEntries(sets)), mode)]
  }
  const own = jwks.get(trustDomain ?? '') ?? '{"keys":[]}'
  const others = plan.federated === 'none' ? [] : [...jwks].filter(([name]) => name !== trustDomain)
  return [
    ...svids,
    ...others.flatMap(([name, text]) => file(`federated.${name}.jwks.json`, text, mode)),
    ...file(plan.jwks, own, mode),
  ]
}

function file(name: string | null, content: string | Uint8Array, mode: number): OutputFile[] {
  return name === null ? [] : [{ name, content: typeof content === 'string' ? Buffer.from(content) : content, mode }]
}
