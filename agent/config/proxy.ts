import { Secret } from '../crypto/secret.js'
import { readNoProxy } from '../ports/no-proxy.js'
import type { Environment } from './placeholders.js'
import type { Problem } from './problem.js'
import { PROXY_REMEDY, proxyAddress } from './proxy-address.js'
import type { Understood } from './values.js'

/** The name of the variable in the case that takes effect, lower or upper; null if neither is set. */
export function proxyVariable(env: Environment, name: 'HTTPS_PROXY' | 'NO_PROXY'): string | null {
  return [name, name.toLowerCase()].find((variable) => env[variable]?.trim()) ?? null
}

/** The proxy and its exemptions from the environment; null if unset or unusable. */
export function proxyOfEnvironment(env: Environment): {
  readonly proxy: Secret | null
  readonly noProxy: string | null
} {
  const of = (name: 'HTTPS_PROXY' | 'NO_PROXY') => env[proxyVariable(env, name) ?? '']?.trim() ?? null
  const text = of('HTTPS_PROXY')
  const address = text === null ? null : proxyAddress(text)
  return { proxy: address === null ? null : new Secret(address), noProxy: of('NO_PROXY') }
}

/** Checks the proxy in force and its exemptions. */
export function checkProxy(
  { values, isSet, sourceOf }: Pick<Understood, 'values' | 'isSet' | 'sourceOf'>,
  env: Environment,
): { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] } {
  const key = 'icp_service proxy'
  const ofEnvironment = proxyOfEnvironment(env)
  const variable = proxyVariable(env, 'HTTPS_PROXY')
  if (variable !== null && ofEnvironment.proxy === null && !isSet('icp_service.proxy')) {
    // Not quoted: it may hold a password.
    const problem = 'is not a proxy that can be used'
    return { problems: [{ key, source: variable, problem, remedy: PROXY_REMEDY }], warnings: [] }
  }
  if (!isSet('icp_service.proxy') && ofEnvironment.proxy === null) return { problems: [], warnings: [] }
  const written = isSet('icp_service.no_proxy')
  const noProxy = written ? values['icp_service.no_proxy'] : ofEnvironment.noProxy
  const { useless } = readNoProxy(noProxy ?? '')
  if (useless.length === 0) return { problems: [], warnings: [] }
  const source = written ? sourceOf('icp_service.no_proxy') : (proxyVariable(env, 'NO_PROXY') ?? '')
  const problem = `has entries that exempt no host: ${useless.slice(0, 5).join(', ').slice(0, 200)}`
  const remedy = 'use names, addresses or networks: icp.example.org, .example.org, 10.1.2.3, 10.0.0.0/8, fd00::/8'
  return { problems: [], warnings: [{ key: written ? 'icp_service.no_proxy' : key, source, problem, remedy }] }
}
