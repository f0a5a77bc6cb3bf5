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
    what: 'How often registration entries are read, jittered.',
  }),
  'sync.max_interval': setting(duration('100ms', '1d'), {
    kind: 'duration',
    default: '10m',
    reload: 'live',
    what: 'How far that interval stretches while the server limits the rate.',
  }),
  'sync.bundle_interval': setting(duration('100ms', '1d'), {
    kind: 'duration',
    default: '5m',
    reload: 'live',
    what: 'How often the trust bundle is read.',
  }),
  'logging.level': setting(choice(['debug', 'info', 'warning', 'error'], { warn: 'warning' }), {
    kind: '`debug`, `info`, `warning`, `error`',
    default: 'info',
    reload: 'live',
    what: 'The least important lines that are written.',
  }),
  'logging.format': setting(choice(['json', 'console']), {
    kind: '`json`, `console`',
    default: 'json',
    reload: 'live',
    what: '`console` is for people.',
  }),
  'logging.file_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'live',
    what: 'A file that gets the lines besides standard output; opened again on SIGHUP and SIGUSR2.',
  }),
  'audit.path': optional(auditPath, {
    kind: '`stdout`, `/dev/log`, path',
    defaultIs: 'none: no audit log',
    reload: 'live',
    what: 'Where records go of who is served or denied what, one JSON object a line ([audit.md](audit.md)): a file, opened again on SIGHUP and SIGUSR2; `stdout`, among the lines of the log; `/dev/log`, the syslog daemon.',
  }),
  'audit.fail_closed': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'While records cannot be written, nothing is granted that is not served already: calls are held, then refused with `audit.unavailable`. Open streams go on.',
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
    what: 'Port of that server; 0 takes any free one.',
  }),
  'health.bind_address': setting(ipAddress, {
    kind: 'IP address',
    default: '127.0.0.1',
    reload: 'restart',
    what: 'Address of that server. It answers anybody who can reach it: containers set 0.0.0.0.',
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
    what: 'What that server speaks at its port: HTTP, or HTTPS alone with the SVID of the agent or with a certificate from files. `health.sock` stays as it is.',
  }),
  'health.tls_cert_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'restart',
    what: 'For `files`: the certificate with what its chain needs, PEM; looked at every 10 s.',
  }),
  'health.tls_key_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'restart',
    what: 'For `files`: its private key, PEM. A certificate and a key that do not fit replace nothing.',
  }),
  'outputs.bundle_dir': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'live',
    what: 'A directory that gets the bundle of each trust domain, for programs that only verify: no keys are ever written there. It is made if missing; other files in it stay.',
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
    what: 'Adds the expiry of each SVID with its SPIFFE ID as a label.',
  }),
  'metrics.bearer_token_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'restart',
    what: 'A file with a token: at the port, `/metrics` answers only who sends it (`Authorization: Bearer`). A replaced file counts within a second; while there is none, nobody is answered.',
  }),
}
