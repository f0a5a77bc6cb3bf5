import { Secret } from '../../crypto/secret.js'
import type { CsrCommonName } from '../config.js'
import { written } from '../form.js'
import { quote } from '../problem.js'
import { NO_PROXY_ADDRESS, PROXY_REMEDY, proxyAddress } from '../proxy-address.js'
import { bool, duration, integer, optional, path, setting, textual } from '../setting.js'

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/
/** X.520 ub-common-name. */
const MAX_COMMON_NAME = 64

const address = textual((text) => {
  const remedy = 'use an address such as https://prod.api.authsec.ai/spiresvc'
  if (!URL.canParse(text)) return [`is ${quote(text)}, which is not a URL`, remedy]
  const url = new URL(text)
  // Not quoted: it may hold a password.
  if (url.username !== '' || url.password !== '') return ['holds a user name or password', remedy]
  if (url.search !== '' || url.hash !== '') return [`is ${quote(text)}, with a query or fragment`, remedy]
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname)) {
    return [`is ${quote(text)}; http:// is allowed for a loopback host only`, 'use https://']
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return [`is ${quote(text)}`, remedy]
  return { value: url.origin + url.pathname.replace(/\/+$/, '') }
})

const csrCommonName = written(
  textual<CsrCommonName>((text) => {
    if (text === 'auto' || text === 'empty') return { value: { mode: text } }
    if (text.length <= MAX_COMMON_NAME && /^[\x20-\x7e]+$/.test(text)) return { value: { mode: 'text', text } }
    return [`is ${quote(text)}`, `use auto, empty, or at most ${MAX_COMMON_NAME} printable ASCII characters`]
  }).describe(`at most ${MAX_COMMON_NAME} characters`),
  { type: 'string', maxLength: MAX_COMMON_NAME },
  (value) => (value.mode === 'text' ? value.text : value.mode),
)

// Not quoted: it may hold a password.
const proxy = textual((text) => {
  const address = text === NO_PROXY_ADDRESS ? text : proxyAddress(text)
  return address === null ? ['is not a proxy that can be used', PROXY_REMEDY] : { value: new Secret(address) }
})

export const icpServiceSettings = {
  'icp_service.address': setting(address, {
    kind: 'URL',
    default: 'https://prod.api.authsec.ai/spiresvc',
    reload: 'restart',
    what: 'The ICP server. `http://` is accepted for a loopback host only.',
  }),
  'icp_service.trust_bundle_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'live',
    what: "PEM certificates that the agent trusts in addition to the system's. If the file is missing, the agent warns; a broken file is an error. If it breaks while the agent runs, its last content stays in effect.",
  }),
  'icp_service.csr_common_name': setting(csrCommonName, {
    kind: '`auto`, `empty` or text',
    default: 'auto',
    reload: 'restart',
    what: 'The common name in CSRs. `auto` detects what the CA accepts.',
  }),
  'icp_service.timeout': setting(duration('100ms', '10m', { plainSeconds: true }), {
    kind: 'seconds or duration',
    default: '30',
    reload: 'live',
    what: 'Deadline of one request.',
  }),
  'icp_service.max_retries': setting(integer(0, 20), {
    kind: 'whole number',
    default: '3',
    reload: 'live',
    what: 'Repetitions of a request after network errors, 502, 503 and 504.',
  }),
  'icp_service.retry_backoff': setting(duration('10ms', '10m', { plainSeconds: true }), {
    kind: 'seconds or duration',
    default: '5',
    reload: 'live',
    what: 'Base of the exponential, jittered wait between repetitions.',
  }),
  'icp_service.proxy': optional(proxy, {
    kind: 'URL or `none`',
    secret: true,
    defaultIs: '`HTTPS_PROXY` from the environment, else none',
    reload: 'live',
    what: 'The proxy to the ICP server, `http://HOST:PORT` or `https://HOST:PORT`. `none`: no proxy, even if the environment names one.',
  }),
  'icp_service.no_proxy': optional(
    textual((text) => ({ value: text })),
    {
      kind: 'text',
      defaultIs: '`NO_PROXY` from the environment, else none',
      reload: 'live',
      what: 'Servers that are reached without the proxy, separated by commas.',
    },
  ),
  'icp_service.traceparent': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'restart',
    what: 'Requests have the W3C header `traceparent` of their span, if traces are exported ([opentelemetry.md](opentelemetry.md)).',
  }),
}
