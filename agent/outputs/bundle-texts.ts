import { X509Certificate } from 'node:crypto'
import { jwksOf } from '../identity/jwks.js'
import type { JwtKey } from '../identity/jwt-svid.js'
import { type BundleSet, bundlePem, type TrustBundle } from '../identity/trust-bundle.js'

/** SPIFFE Trust Domain and Bundle 4.1.2: how often readers should poll the bundle. */
const REFRESH_HINT_SECONDS = 300

/** The files of all trust domains by their names; `formats`: pem, jwks, spiffe. */
export function bundleTexts(
  bundles: BundleSet,
  jwtKeys: readonly JwtKey[],
  formats: readonly string[],
): ReadonlyMap<string, string> {
  const texts = new Map<string, string>()
  for (const [name, bundle] of bundles) {
    if (formats.includes('pem')) {
      texts.set(`${name}.pem`, bundlePem(bundle))
    }
    if (formats.includes('jwks')) texts.set(`${name}.jwks.json`, json({ keys: keysOf(jwtKeys) }))
    if (formats.includes('spiffe')) texts.set(`${name}.spiffe.json`, spiffeBundle(bundle, keysOf(jwtKeys)))
  }
  return texts
}

/** SPIFFE Trust Domain and Bundle 4: the keys of certificates first, each with its certificate, then those of JWT-SVIDs. */
export function spiffeBundle({ authorities }: TrustBundle, jwtKeys: readonly unknown[]): string {
  const x509 = authorities.map(({ der }) => {
    const jwk = new X509Certificate(der).publicKey.export({ format: 'jwk' })
    return { use: 'x509-svid', ...jwk, x5c: [Buffer.from(der).toString('base64')] }
  })
  return json({ keys: [...x509, ...jwtKeys], spiffe_refresh_hint: REFRESH_HINT_SECONDS })
}

/** As the Workload API serves them. */
function keysOf(jwtKeys: readonly JwtKey[]): readonly unknown[] {
  return (JSON.parse(Buffer.from(jwksOf(jwtKeys)).toString()) as { keys: unknown[] }).keys
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
