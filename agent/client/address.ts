import { isIP } from 'node:net'
import { AgentError } from '../errors.js'

/** The endpoint of a Workload API. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  /** An IP address, never a name (Workload Endpoint 4). */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** The variable with the default endpoint (Workload Endpoint 4). */
export const ENDPOINT_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET'

/** The size of the path in sockaddr_un without the final NUL. */
const MAX_SOCKET_PATH_BYTES = 107
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s
// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression finds control characters
const CONTROL = /[\u0000-\u001f\u007f]/

/**
 * The given address, else the one in SPIFFE_ENDPOINT_SOCKET; null if neither is set.
 * Throws `client.address_invalid`, which names the source of the invalid address.
 */
export function findEndpoint(
  given: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Endpoint | null {
  if (given !== undefined) return parseEndpoint(given)
  const inherited = env[ENDPOINT_VARIABLE]
  return inherited === undefined || inherited === '' ? null : parseEndpoint(inherited, ENDPOINT_VARIABLE)
}

/**
 * The endpoint in SPIFFE_ENDPOINT_SOCKET. Throws `client.address_invalid`, also if the variable is not set.
 */
export function environmentEndpoint(): Endpoint {
  const found = findEndpoint(undefined, process.env)
  if (found) return found
  throw new AgentError(
    'client.address_invalid',
    `no Workload API address: set ${ENDPOINT_VARIABLE} to unix:///path/of/agent.sock, or give the address`,
  )
}

/**
 * Reads `unix:///absolute/path` (or `unix:/absolute/path`) and `tcp://IP:port`, and nothing else (Workload Endpoint 4).
 * Throws `client.address_invalid`; `source` names the source of the text in the message.
 */
export function parseEndpoint(text: string, source = 'the address'): Endpoint {
  const invalid = (problem: string) =>
    new AgentError('client.address_invalid', `${source} is not a Workload API address: ${problem}`)
  if (text === '') throw invalid('it is empty')
  if (CONTROL.test(text)) throw invalid('it holds control characters')
  const [, scheme = '', rest = ''] = SCHEME.exec(text) ?? []
  if (scheme === '') {
    throw invalid(
      text.startsWith('/')
        ? `the scheme is missing; write unix://${text}`
        : 'it must be unix:// and an absolute path, as in unix:///run/spire/sockets/agent.sock, or tcp://IP:port',
    )
  }
  if (rest.includes('#')) throw invalid('it must not include a fragment')
  if (rest.includes('?')) throw invalid('it must not include a query')
  switch (scheme.toLowerCase()) {
    case 'unix':
      return { kind: 'unix', path: unixPath(rest, invalid) }
    case 'tcp':
      return { kind: 'tcp', ...hostAndPort(rest, invalid) }
    default:
      throw invalid(`its scheme must be unix or tcp, not ${scheme}`)
  }
}

/** The target for grpc-js. Three slashes, so that a path with two leading slashes is not parsed as a host. */
export function grpcTarget(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix://${endpoint.path}`
  return `${isIP(endpoint.host) === 6 ? 'ipv6' : 'ipv4'}:${hostPort(endpoint)}`
}

/** The address as a text. */
export function addressOf(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? `unix://${endpoint.path}` : `tcp://${hostPort(endpoint)}`
}

type Invalid = (problem: string) => AgentError

function unixPath(rest: string, invalid: Invalid): string {
  // RFC 3986 3: two slashes begin an authority, which must be empty here.
  const [, authority, encoded = rest] = /^\/\/([^/]*)(.*)$/s.exec(rest) ?? []
  if (authority) throw invalid(`a unix address has no host or user; write unix:///${authority}${encoded}`)
  if (!encoded.startsWith('/')) throw invalid('the path must be absolute, as in unix:///run/spire/sockets/agent.sock')
  const path = decoded(encoded)
  if (path === null || CONTROL.test(path)) throw invalid('the path has an invalid percent-encoding')
  if (path.endsWith('/')) throw invalid('the path must name a socket, not a directory')
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw invalid(`the path is longer than ${MAX_SOCKET_PATH_BYTES} bytes, the limit of the kernel`)
  }
  return path
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}

function hostAndPort(rest: string, invalid: Invalid): { host: string; port: number } {
  if (!rest.startsWith('//')) throw invalid('it must not be opaque; write tcp://IP:port')
  const [authority = '', ...path] = rest.slice(2).split('/')
  if (path.length > 0) throw invalid('a tcp address must not include a path')
  if (authority.includes('@')) throw invalid('it must not include a user')
  const [, six, four, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(authority) ?? []
  const host = six ?? four ?? ''
  if (isIP(host) !== (six === undefined ? 4 : 6)) {
    throw invalid('the host must be an IP address, IPv6 in brackets, because names can be redirected')
  }
  if (!port) throw invalid('a tcp address must include a port')
  if (Number(port) < 1 || Number(port) > 65_535) throw invalid('the port must be between 1 and 65535')
  return { host, port: Number(port) }
}

function hostPort({ host, port }: { host: string; port: number }): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}
