import { constants } from 'node:crypto'
import { type AgentOptions, Agent as HttpsAgent } from 'node:https'
import {
  type ConnectionOptions,
  createSecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import { pemFromDer } from '../crypto/pem.js'
import { AgentError } from '../errors.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'

/** What of `tls.createSecureContext` is the caller's to choose. */
export type TlsSettings = Pick<
  SecureContextOptions,
  'minVersion' | 'maxVersion' | 'ciphers' | 'ecdhCurve' | 'sigalgs' | 'honorCipherOrder'
>

/** The SVID as TLS shows it. A session that is taken up again would show no certificate: no tickets are given. */
export function ownCertificate(svid: X509Svid, settings: TlsSettings): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    ...settings,
    cert: svid.chain.map((der) => pemFromDer(der, 'CERTIFICATE')).join(''),
    key: pemFromDer(svid.privateKey.reveal(), 'PRIVATE KEY'),
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
}

let contexts = 0

/**
 * Options for a client's connections. OpenSSL verifies the server against the authorities of all bundles, and `verify`
 * against those of the server's own trust domain; the host name means nothing.
 */
export function clientOptions(
  own: SecureContextOptions,
  bundles: BundleSet,
  verify: NonNullable<ConnectionOptions['checkServerIdentity']>,
): ConnectionOptions {
  const ca = [...bundles.values()].flatMap(({ authorities }) =>
    authorities.map(({ der }) => pemFromDer(der, 'CERTIFICATE')),
  )
  return {
    // An authority need not be self-signed (X509-SVID 4.1).
    secureContext: createSecureContext({ ...own, ca, allowPartialTrustChain: true }),
    checkServerIdentity: verify,
    // Said, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes what holds where nothing is said.
    rejectUnauthorized: true,
    // Part of the name under which https.Agent keeps connections: none of other options is taken for one of these.
    sessionIdContext: `icp-agent-${++contexts}`,
  }
}

/** An agent for `https.request` whose new connections are made with the options of the moment. */
export class RotatingHttpsAgent extends HttpsAgent {
  readonly #current: () => ConnectionOptions

  constructor(current: () => ConnectionOptions, options: AgentOptions) {
    // A session that is taken up again is not verified again.
    super({ ...options, maxCachedSessions: 0 })
    this.#current = current
  }

  override createConnection(
    options: Parameters<HttpsAgent['createConnection']>[0],
    callback?: Parameters<HttpsAgent['createConnection']>[1],
  ): ReturnType<HttpsAgent['createConnection']> {
    return super.createConnection({ ...options, ...this.#current() }, callback)
  }
}

/**
 * Lets nobody but admitted peers come to the listeners of a TLS server. The event itself is held back: a listener that
 * came first could destroy the socket, and those after it (HTTP/2's) would get a destroyed one and throw.
 * `admit` throws `client.peer_refused`, which is then emitted as `tlsClientError`.
 */
export function guard(server: Server, admit: (socket: TLSSocket) => void): void {
  const emit = server.emit
  const pass = (event: string | symbol, values: readonly unknown[]): boolean =>
    Reflect.apply(emit, server, [event, ...values])
  server.emit = (event: string | symbol, ...values: readonly unknown[]): boolean => {
    if (event !== 'secureConnection') return pass(event, values)
    const socket = values[0] as TLSSocket
    try {
      admit(socket)
    } catch (error) {
      socket.destroy()
      if (!(error instanceof AgentError)) throw error
      return pass('tlsClientError', [error, socket])
    }
    return pass(event, values)
  }
}
