import { Secret } from '../crypto/secret.js'
import { readNoProxy } from '../ports/no-proxy.js'
import type { Config } from './config.js'
import type { Environment } from './placeholders.js'
import type { Problem } from './problem.js'

/** The proxy for the ICP server from `HTTPS_PROXY` and `NO_PROXY` (or in lower case), and what is wrong with it. */
export function proxyFrom(env: Environment): {
  readonly proxy: Config['icpService']['proxy']
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
} {
  const noProxy = env['NO_PROXY']?.trim() || env['no_proxy']?.trim() || null
  const source = env['HTTPS_PROXY']?.trim() ? 'HTTPS_PROXY' : 'https_proxy'
  const text = env[source]?.trim() ?? ''
  if (text === '') return { proxy: { httpsProxy: null, noProxy }, problems: [], warnings: [] }
  // `proxy.example:3128`, as curl and others take it.
  const httpsProxy = text.includes('://') ? text : `http://${text}`
  if (usable(httpsProxy)) {
    return {
      proxy: { httpsProxy: new Secret(httpsProxy), noProxy },
      problems: [],
      warnings: uselessEntries(noProxy, env),
    }
  }
  // Not quoted: it may hold a password.
  const problem = 'is not a proxy that can be used'
  const remedy = 'use http://HOST:PORT, or unset it; NO_PROXY exempts the host of the ICP server'
  const problems = [{ key: 'icp_service proxy', source, problem, remedy }]
  return { proxy: { httpsProxy: null, noProxy }, problems, warnings: [] }
}

function usable(proxy: string): boolean {
  if (!URL.canParse(proxy)) return false
  const { protocol, username, password } = new URL(proxy)
  try {
    // As they are sent: `%` stands for itself nowhere.
    decodeURIComponent(username + password)
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
  return protocol === 'http:' || protocol === 'https:'
}

function uselessEntries(noProxy: string | null, env: Environment): readonly Problem[] {
  const { useless } = readNoProxy(noProxy ?? '')
  if (useless.length === 0) return []
  const source = env['NO_PROXY']?.trim() ? 'NO_PROXY' : 'no_proxy'
  const problem = `has entries that exempt no host: ${useless.slice(0, 5).join(', ').slice(0, 200)}`
  const remedy = 'use names, addresses or networks: icp.example.org, .example.org, 10.1.2.3, 10.0.0.0/8, fd00::/8'
  return [{ key: 'icp_service proxy', source, problem, remedy }]
}
