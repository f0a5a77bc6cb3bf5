import type { HttpPeer } from '../ports/http.js'

const CLOCKS = 'check the clocks of both machines'
const UNKNOWN_CA =
  'its certificate comes from an authority that this machine does not trust: put that authority into the file of {trust}'
const CHAIN = 'its certificate chain is invalid: have the authority of {peer} issue a new one'

export const ANY_SERVER: HttpPeer = { name: 'the server', addressSetting: null, trustSetting: null }

/** The proxy on the way to a server. */
export function proxyBefore({ trustSetting }: HttpPeer): HttpPeer {
  return { name: 'the proxy', addressSetting: 'HTTPS_PROXY', trustSetting }
}

/** Problem and advice for a server certificate, by Node's error code; null: only the code is known. */
const CERTIFICATE: Readonly<Record<string, string | null>> = {
  CERT_HAS_EXPIRED: `its certificate has expired: renew it, or ${CLOCKS}`,
  CERT_NOT_YET_VALID: `its certificate is not valid yet: ${CLOCKS}`,
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name: use that name in {address}',
  HOSTNAME_MISMATCH: 'its certificate is for another host name: use that name in {address}',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed: put it into the file of {trust}',
  CERT_REVOKED: 'its certificate was revoked',
  INVALID_PURPOSE: 'its certificate is not meant for servers',
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_CA,
  CERT_UNTRUSTED: UNKNOWN_CA,
  CERT_REJECTED: UNKNOWN_CA,
  INVALID_CA: `${CHAIN} (an issuer in it is not a CA)`,
  PATH_LENGTH_EXCEEDED: `${CHAIN} (it is longer than one of its authorities allows)`,
  CERT_CHAIN_TOO_LONG: `${CHAIN} (it is too long)`,
  CERT_SIGNATURE_FAILURE: `${CHAIN} (a signature in it is invalid)`,
  UNABLE_TO_DECRYPT_CERT_SIGNATURE: `${CHAIN} (a signature in it is invalid)`,
  UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY: `${CHAIN} (the key of an issuer cannot be read)`,
  ERROR_IN_CERT_NOT_BEFORE_FIELD: `${CHAIN} (a time in it cannot be read)`,
  ERROR_IN_CERT_NOT_AFTER_FIELD: `${CHAIN} (a time in it cannot be read)`,
  OUT_OF_MEM: 'there was no memory left to verify its certificate',
  UNABLE_TO_GET_CRL: null,
  UNABLE_TO_DECRYPT_CRL_SIGNATURE: null,
  CRL_SIGNATURE_FAILURE: null,
  CRL_NOT_YET_VALID: null,
  CRL_HAS_EXPIRED: null,
  ERROR_IN_CRL_LAST_UPDATE_FIELD: null,
  ERROR_IN_CRL_NEXT_UPDATE_FIELD: null,
}

const NO_ROUTE = 'there is no route to it'
const NO_DNS = 'its host name cannot be looked up now: check DNS'
const NO_MEMORY = 'this machine has no memory left for the connection'

/** Linux answers the same for a directory, which Docker makes in place of a mount's missing source. */
const REFUSED_BY_SOCKET = 'the connection was refused: is {peer} running, and is this a socket, not a directory?'

/** Failures of the network below TLS. */
const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused: is {peer} running, and are host and port right?',
  ECONNRESET: 'the connection was reset',
  ECONNABORTED: 'the connection was aborted',
  EPIPE: 'the connection was closed while the request was sent',
  ENOTFOUND: 'its host name is unknown: check the name and DNS',
  EAI_AGAIN: NO_DNS,
  EAI_FAIL: NO_DNS,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  // Linux returns it for a blackhole route.
  EINVAL: 'this machine cannot connect to that address: is there a route to it?',
  ENETDOWN: 'the network of this machine is down',
  EADDRNOTAVAIL: 'this machine has no address or no port left to connect from',
  EAFNOSUPPORT: 'this machine does not speak the IP version of that address',
  ETIMEDOUT: 'the connection timed out',
  ENOENT: 'there is no such socket',
  EACCES: 'permission was denied',
  EPERM: 'this machine forbids it: check its firewall and security policies',
  EMFILE: 'the agent may open no more files: raise its limit of open files (LimitNOFILE, ulimit -n)',
  ENFILE: 'this machine may open no more files: raise fs.file-max',
  ENOBUFS: NO_MEMORY,
  ENOMEM: NO_MEMORY,
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_SOCKET: 'the connection was closed before the answer was complete',
  UND_ERR_ABORTED: 'the request was aborted',
  UND_ERR_HEADERS_TIMEOUT: 'it does not answer', // Of a proxy: for servers there is only the deadline of the whole exchange.
  UND_ERR_DESTROYED: 'the client was closed',
  UND_ERR_CLOSED: 'the client was closed',
}

/** The problem of the server's certificate; null if the code is about something else. */
export function certificateProblem(code: string, text: string, peer: HttpPeer): string | null {
  // Reasons of OpenSSL without a code of Node: a weak key, a violated name constraint.
  if (code === 'UNSPECIFIED') return `its certificate was rejected: ${text.slice(0, 200)}`
  const problem = Object.hasOwn(CERTIFICATE, code) ? CERTIFICATE[code] : undefined
  return problem === undefined ? null : about(peer, problem ?? `its certificate was rejected (${code})`)
}

/** What a failure below TLS means, and what to do. `address` is a URL, or `unix://PATH`. */
export function networkProblem(code: string, address: string, peer: HttpPeer): string {
  if (code === 'ECONNREFUSED' && address.startsWith('unix:')) return about(peer, REFUSED_BY_SOCKET)
  const known = Object.hasOwn(NETWORK, code) ? NETWORK[code] : undefined
  if (known !== undefined) return about(peer, known)
  if (code.startsWith('EAI_')) return NO_DNS
  return code === '' ? 'the request failed' : `the request failed (${code})`
}

/** Problem and advice for a proxy's answer to CONNECT. */
export function connectProblem(status: number): string {
  if (status === 407) return 'it requires authentication (407): set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT'
  if (status === 401 || status === 403) return `it forbids connections to the server (${status}): have them allowed`
  if (status >= 500) return `it cannot reach the server (${status})`
  return `it answered CONNECT with ${status}: is it a proxy for HTTPS?`
}

/** The text for this peer. Advice that names a missing setting is left out. */
function about({ name, addressSetting, trustSetting }: HttpPeer, text: string): string {
  const lacking = (text.includes('{address}') && !addressSetting) || (text.includes('{trust}') && !trustSetting)
  return (lacking ? text.slice(0, text.indexOf(':')) : text)
    .replace('{peer}', name)
    .replace('{address}', addressSetting ?? '')
    .replace('{trust}', trustSetting ?? '')
}
