import { constants } from 'node:crypto'
import { type AgentOptions, Agent as HttpsAgent } from 'node:https'
import {
  type ConnectionOptions,
  createSecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import { certificatesPem, pemFromDer } from '../crypto/pem.js'
import { AgentError } from '../errors.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'

/** Options of `tls.createSecureContext` that the caller may set. */
export type TlsSettings = Pick<
  SecureContextOptions,
  'minVersion' | 'maxVersion' | 'ciphers' | 'ecdhCurve' | 'sigalgs' | 'honorCipherOrder'
>

/** The SVID for TLS. No session tickets: a resumed session shows no certificate. */
export function ownCertificate(svid: X509Svid, settings: TlsSettings): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    ...settings,
    cert: certificatesPem(svid.chain),
    key: pemFromDer(svid.privateKey.reveal(), 'PRIVATE KEY'),
    secureOptions: constants.SSL_OP_NO_TICKET,
  }
}

let contexts = 0

/**
 * Options for a client's connections. OpenSSL verifies the server against the authorities of all bundles, and `verify`
 * against those of the server's own trust domain; the host name is not checked.
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
    // Explicit, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes the default.
    rejectUnauthorized: true,
    // Part of the key of https.Agent's connections, so that it reuses none that was made with other options.
    sessionIdContext: `icp-agent-${++contexts}`,
  }
}

/** An agent for `https.request` that makes each connection with the current options. */
export class RotatingHttpsAgent extends HttpsAgent {
  readonly #current: () => ConnectionOptions

  constructor(current: () => ConnectionOptions, options: AgentOptions) {
    // A resumed session is not verified again.
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
 * Passes only accepted peers to the listeners of a TLS server. It holds back the event itself: if a listener destroyed
 * the socket, those after it (HTTP/2's) would throw.
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
