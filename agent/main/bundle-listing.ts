import type { JwtBundleSet } from '../client/jwt.js'
import { type BundleSet, bundlePem } from '../identity/trust-bundle.js'
import { printable } from '../observability/printable.js'
import { count } from './terminal/count.js'
import type { Style } from './terminal/style.js'
import { moment } from './terminal/time.js'

/** The authorities and keys of each trust domain. */
export interface Bundles {
  readonly x509: BundleSet
  /** The keys of each JWKS, as parsed JSON. */
  readonly jwt: ReadonlyMap<string, readonly Readonly<Record<string, unknown>>[]>
}

export function readBundles(x509: BundleSet, jwt: JwtBundleSet): Bundles {
  const parsed = [...jwt].map(([name, text]) => [name, (JSON.parse(text) as { keys: Record<string, unknown>[] }).keys])
  return { x509, jwt: new Map(parsed as [string, Record<string, unknown>[]][]) }
}

export function bundlesJson({ x509, jwt }: Bundles) {
  return {
    x509: Object.fromEntries([...x509].map(([name, bundle]) => [name, bundlePem(bundle)])),
    jwt: Object.fromEntries([...jwt].map(([name, keys]) => [name, { keys }])),
  }
}

export function bundlesText({ x509, jwt }: Bundles, style: Style): string {
  const names = [...new Set([...x509.keys(), ...jwt.keys()])]
  return names.map((name) => `${style.bold(printable(name))}\n${linesOf(name, { x509, jwt })}`).join('\n')
}

function linesOf(name: string, { x509, jwt }: Bundles): string {
  const authorities = x509.get(name)?.authorities ?? []
  const keys = jwt.get(name) ?? []
  const lines = [
    `${count(authorities.length, 'authority', 'authorities')}`,
    ...authorities.map(({ fingerprint, notAfter }) => `  ${fingerprint.slice(0, 16)}…  to ${moment(notAfter)}`),
    `${count(keys.length, 'JWT key', 'JWT keys')}`,
    ...keys.map(({ kid, alg }) => `  ${printable(String(kid))}  ${printable(String(alg ?? ''))}`),
  ]
  return lines.map((line) => `    ${line}\n`).join('')
}
