import { Secret } from '../../crypto/secret.js'
import { quote } from '../problem.js'
import { bool, duration, matching, optional, path, setting, textual } from '../setting.js'

/** The size of `sun_path` less the final NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** Placeholders in examples and manifests; the UUID is the sample tenant of older ones. */
const PLACEHOLDERS: ReadonlySet<string> = new Set([
  'your-tenant-id-here',
  'your-tenant-uuid-here',
  'your-tenant-uuid',
  'your-tenant-id',
  'your-second-tenant-id',
  '477e9f97-d8a9-442a-8d92-f771393fab66',
  '00000000-0000-0000-0000-000000000000',
])

export const TENANT_REMEDY =
  'use the UUID of your own tenant (workspace), which the AuthSec console shows and your AuthSec administrator knows; set it in the file or as ICP_AGENT_AGENT__TENANT_ID'
export const NODE_ID_REMEDY =
  'use letters, digits, dots, dashes and underscores, beginning with a letter or digit, at most 255'

const tenantId = textual((text) => {
  const id = text.toLowerCase()
  if (PLACEHOLDERS.has(id)) return [`is the placeholder ${quote(text)} of an example`, TENANT_REMEDY]
  return UUID.test(id) ? { value: id } : [`is ${quote(text)}, which is not a UUID`, TENANT_REMEDY]
})

/** The last segment of the agent's SPIFFE ID. */
export const nodeId = matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/, NODE_ID_REMEDY).describe('at most 255 characters')

/** A Unix socket, for us to listen on or to connect to. */
export const socketPath = textual((text) => {
  if (/^tcp:/i.test(text)) {
    return [`is ${quote(text)}; over TCP the kernel does not identify the caller`, 'use the path of a Unix socket']
  }
  if (!text.startsWith('/') || text.endsWith('/')) {
    return [`is ${quote(text)}, which does not name a Unix socket`, 'use an absolute path, or unix:///path']
  }
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    return [`is ${bytes} bytes long`, `the kernel allows ${MAX_SOCKET_PATH_BYTES} for a socket; use a shorter path`]
  }
  return { value: text }
}).describe(`at most ${MAX_SOCKET_PATH_BYTES} bytes`)

// The token goes into an HTTP header: printable ASCII without spaces.
const joinToken = textual((text) =>
  /^[\x21-\x7e]{1,4096}$/.test(text)
    ? { value: new Secret(text) }
    : ['has characters that no join token has, or is too long', 'give the token alone, as the server showed it'],
).describe('at most 4096 characters')

export const agentSettings = {
  'agent.tenant_id': optional(tenantId, {
    kind: 'UUID',
    defaultIs: 'required',
    reload: 'restart',
    what: "The tenant or workspace id: the trust domain of the agent's own SPIFFE ID.",
  }),
  'agent.node_id': optional(nodeId, {
    kind: 'name',
    defaultIs: 'the host name; required inside a container',
    reload: 'restart',
    what: "The last segment of the agent's SPIFFE ID, of `A-Za-z0-9._-`. It must be unique and must not change.",
  }),
  'agent.data_dir': setting(path(), {
    kind: 'path',
    path: 'file',
    default: '/var/lib/icp-agent',
    reload: 'restart',
    what: "Directory of the agent's key, certificate and sealed cache, created with mode 0700. It must outlive the agent.",
  }),
  'agent.socket_path': setting(socketPath, {
    kind: 'path or `unix:///path`',
    path: 'socket',
    default: '/run/spire/sockets/agent.sock',
    reload: 'restart',
    what: 'The Workload API socket. Its directory is created with mode 0755.',
  }),
  'agent.admin_socket_path': optional(socketPath, {
    kind: 'path or `unix:///path`',
    path: 'socket',
    defaultIs: '`admin.sock` in `agent.data_dir`',
    reload: 'restart',
    what: "The [admin socket](admin.md), for root and the agent's user only. Not in the directory of `agent.socket_path`.",
  }),
  'agent.renewal_threshold': setting(duration('1s', '365d'), {
    kind: 'duration',
    default: '6h',
    reload: 'live',
    what: 'Certificates are renewed when this much of their life is left, or half of it if that is less, and up to a tenth of their life earlier. Those that live 50 minutes or more are renewed with at least 35 minutes left, unless this is set lower.',
  }),
  'agent.join_token': optional(joinToken, {
    kind: 'text',
    secret: true,
    defaultIs: 'none',
    reload: 'live',
    what: 'Single-use token for node attestation. Prefer `agent.join_token_path`: whoever may trace the agent can read a variable in `/proc/PID/environ` while the agent runs.',
  }),
  'agent.join_token_path': optional(path(), {
    kind: 'path',
    path: 'file',
    defaultIs: 'none',
    reload: 'live',
    what: 'File with the join token, read again at each attempt. Give this or `agent.join_token`, not both.',
  }),
  'agent.watch_config': setting(bool(), {
    kind: 'true, false',
    default: 'false',
    reload: 'live',
    what: 'Checks the configuration file every ten seconds and reloads it when its content changed, for platforms that replace a mounted file and send no signal.',
  }),
}
