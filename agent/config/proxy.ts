import { Secret } from '../crypto/secret.js'
import type { Config } from './config.js'
import type { Environment } from './placeholders.js'
import type { Problem } from './problem.js'

/** The proxy for the ICP server from `HTTPS_PROXY` and `NO_PROXY` (or in lower case), and what is wrong with it. */
export function proxyFrom(env: Environment): { proxy: Config['icpService']['proxy']; problems: readonly Problem[] } {
  const noProxy = env['NO_PROXY']?.trim() || env['no_proxy']?.trim() || null
  const source = env['HTTPS_PROXY']?.trim() ? 'HTTPS_PROXY' : 'https_proxy'
  const text = env[source]?.trim() ?? ''
  if (text === '') return { proxy: { httpsProxy: null, noProxy }, problems: [] }
  // `proxy.example:3128`, as curl and others take it.
  const httpsProxy = text.includes('://') ? text : `http://${text}`
  const known = URL.canParse(httpsProxy) && ['http:', 'https:'].includes(new URL(httpsProxy).protocol)
  if (known) return { proxy: { httpsProxy: new Secret(httpsProxy), noProxy }, problems: [] }
  // Not quoted: it may hold a password.
  const problem = 'is not a proxy that can be used'
  const remedy = 'use http://HOST:PORT, or unset it; NO_PROXY exempts the host of the ICP server'
  return { proxy: { httpsProxy: null, noProxy }, problems: [{ key: 'icp_service proxy', source, problem, remedy }] }
}
