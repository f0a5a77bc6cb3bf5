import { isIP } from 'node:net'
import { quote } from '../problem.js'
import { bool, choice, duration, integer, list, optional, path, setting, textual } from '../setting.js'

const ipAddress = textual((text) => {
  const address = text.replace(/^\[(.*)\]$/, '$1')
  if (isIP(address) !== 0) return { value: address }
  return [`is ${quote(text)}, which is not an IP address`, 'use 127.0.0.1, or 0.0.0.0 in a container']
})

const auditPath = textual((text) => {
  if (text === 'stdout' || (text.startsWith('/') && !text.endsWith('/'))) return { value: text }
  return [`is ${quote(text)}`, 'use stdout, /dev/log or the absolute path of a file']
})

export const operationSettings = {
  'sync.interval': setting(duration('100ms', '1h'), {
    kind: 'duration',
    default: '30s',
    reload: 'live',
    what: 'Interval between syncs of the registration entries, with jitter.',
  }),
  'sync.max_interval': setting(duration('100ms', '1d'), {
    kind: 'duration',
    default: '10m',
    reload: 'live',
    what: "The longest that interval becomes while the server limits the agent's requests.",
  }),
  'sync.bundle_interval': setting(duration('100ms', '1d'), {
    kind: 'duration',
    default: '5m',
    reload: 'live',
    what: 'Interval between requests for the trust bundle.',
  }),
  'logging.level': setting(choice(['debug', 'info', 'warning', 'error'], { warn: 'warning' }), {
    kind: '`debug`, `info`, `warning`, `error`',
    default: 'info',
    reload: 'live',
    what: 'The lowest level of lines that are written.',
  }),
  'logging.format': setting(choice(['json', 'console']), {
    kind: '`json`, `console`',
    default: 'json',
    reload: 'live',
    what: '`console` is easier for people to read.',
  }),
  'logging.file_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'live',
    what: 'A file for the lines of the log, in addition to standard output; opened again on SIGHUP and SIGUSR2.',
  }),
  'audit.path': optional(auditPath, {
    kind: '`stdout`, `/dev/log`, path',
    defaultIs: 'none: no audit log',
    reload: 'live',
    what: 'Where the audit log is written, one JSON object per line ([audit.md](audit.md)): a file, opened again on SIGHUP and SIGUSR2; `stdout`, among the lines of the log; `/dev/log`, the syslog daemon.',
  }),
  'audit.fail_closed': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'While the audit log cannot be written, the agent grants nothing new: calls are held, then refused with `audit.unavailable`. Open streams continue.',
  }),
  'health.enabled': setting(bool(), {
    kind: 'true, false',
    default: 'true',
    reload: 'restart',
    what: 'Serves health, readiness, status and metrics over HTTP, at the port and on `health.sock` in `agent.data_dir`.',
  }),
  'health.port': setting(integer(0, 65_535), {
    kind: 'whole number',
    default: '8080',
    reload: 'restart',
    what: 'Port of the health server; 0 takes any free one.',
  }),
  'health.bind_address': setting(ipAddress, {
    kind: 'IP address',
    default: '127.0.0.1',
    reload: 'restart',
    what: 'Address of the health server; in a container 0.0.0.0. It answers anybody who can reach it.',
  }),
  'health.wait_for_kubernetes': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: '`/ready` is false until Kubernetes has listed the pods of this node once since the start. The chart turns it on.',
  }),
  'health.tls': setting(choice(['off', 'svid', 'files']), {
    kind: '`off`, `svid`, `files`',
    default: 'off',
    reload: 'restart',
    what: "Protocol at the port: `off` is HTTP; `svid` and `files` are HTTPS only, with the agent's SVID or with a certificate from files. `health.sock` is always HTTP.",
  }),
  'health.tls_cert_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'restart',
    what: 'For `files`: the certificate and its chain, PEM; checked for changes every 10 s.',
  }),
  'health.tls_key_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'restart',
    what: 'For `files`: its private key, PEM. If certificate and key do not match, the last ones that did stay in use.',
  }),
  'outputs.bundle_dir': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'live',
    what: 'Directory for the bundle of each trust domain, for programs that only verify. No private keys are written there. It is created if it is missing; other files in it stay.',
  }),
  'outputs.formats': setting(list(/^(?:pem|jwks|spiffe)$/, 'use pem, jwks and spiffe'), {
    kind: 'list',
    default: 'pem',
    reload: 'live',
    what: '`pem`: `NAME.pem`, the X.509 authorities. `jwks`: `NAME.jwks.json`, the keys of JWT-SVIDs. `spiffe`: `NAME.spiffe.json`, both as a SPIFFE bundle.',
  }),
  'metrics.spiffe_id_labels': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'Adds a metric with the expiry of each SVID, with the SPIFFE ID as a label.',
  }),
  'metrics.bearer_token_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'restart',
    what: 'File with a bearer token that `/metrics` requires at the port (`Authorization: Bearer`). A replaced file takes effect within a second; without the file every request is refused.',
  }),
}
